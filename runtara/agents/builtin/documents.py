"""The input ``data`` of the agents that read texts: raw text, or whatever stands for bytes.

A string is ambiguous: ``data_format`` says what it is. With ``auto`` it is base64 if it has the form of base64, and raw
text otherwise. The form is: groups of four characters of the alphabet, in one line, or in lines of 64 or 76 characters
as PEM and MIME have them. XML never has that form, and CSV only if it is a single word.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from runtara.agents.builtin.files import file_bytes
from runtara.agents.builtin.text_encodings import decode_text
from runtara.agents.errors import AgentError

__all__ = ("Data", "DataFormat", "document_text")

Data = Annotated[Any, Meta(description="A text, base64, a file {content: base64}, or a list of bytes.")]
DataFormat = Annotated[
    Literal["auto", "text", "base64"],
    Meta(description="What a string in data is. With auto: base64 where it has the form of base64, otherwise text."),
]

_MARK: Final = "\ufeff"
_LINE_LENGTHS: Final = (64, 76)


def document_text(data: Any, data_format: Literal["auto", "text", "base64"], *, codec: str | None, prefix: str) -> str:
    """The text of ``data``, without byte order mark. Raw text has no encoding; without a codec, bytes are lossy UTF-8.

    Raises:
        AgentError: ``<prefix>_DECODE_ERROR``: nothing that stands for bytes;
            ``<prefix>_ENCODING_ERROR``: the bytes are not in the encoding.
    """
    if isinstance(data, str) and (data_format == "text" or (data_format == "auto" and not _has_form_of_base64(data))):
        return data.removeprefix(_MARK)
    data = file_bytes(data, prefix=prefix)
    try:
        return decode_text(data, codec or "utf-8", "strict" if codec else "replace")
    except UnicodeDecodeError as error:
        raise AgentError(
            f"{prefix}_ENCODING_ERROR",
            f"byte {error.start} is not {error.encoding}: {error.reason}",
            attributes={"position": str(error.start), "encoding": error.encoding},
        ) from None


def _has_form_of_base64(text: str) -> bool:
    lines = text.strip().splitlines()
    if any(len(line) not in _LINE_LENGTHS for line in lines[:-1]):
        return False
    try:
        base64.b64decode("".join(lines), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
