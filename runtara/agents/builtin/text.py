"""Texts: change, cut, join, look through, encode. Source: dsl.md §12.7.

Null is the empty text, and of an empty text nearly everything is empty. Lengths are numbers of characters.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from runtara.agents.builtin import text_shapes as shapes
from runtara.agents.builtin.files import FileData, bytes_of
from runtara.agents.builtin.regexes import compile_pattern
from runtara.agents.builtin.text_encodings import decode_text, encode_text, find_codec
from runtara.agents.builtin.text_sizes import check_characters
from runtara.agents.capability import agent, capability
from runtara.agents.context import CallContext
from runtara.agents.errors import AgentError
from runtara.dsl.templates import TemplateFailed, TemplateInvalid, render
from runtara.limits import OUTPUT_BYTES_MAX

__all__ = ("RegexReplace", "Text", "ToBase64")

_Text = Annotated[str | None, Meta(description="The text; null is the empty text.")]
_Length = Annotated[int, Meta(ge=0)] | None
_Delimiter = Annotated[str, Meta(description="What separates the parts; empty, each character is one.")]
_Encoding = Annotated[str, Meta(description="The name of an encoding.", examples=["UTF-8", "windows-1252"])]
_Regex = Annotated[str, Meta(description="A regular expression in the syntax of RE2.", examples=[r"(\w+)@(\w+)"])]
_IgnoreCase = Annotated[bool, Meta(description="Whether capital and small letters are the same.")]

_BYTES_MAX: Final = OUTPUT_BYTES_MAX // 4
"""Of a list of numbers: each takes up to four characters of JSON."""


class RegexReplace(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of ``text/regex-replace``."""

    pattern: _Regex
    text: _Text = ""
    replacement: Annotated[
        str, Meta(description="What to put in; $1 or ${name} is a group of the match, $$ a dollar.")
    ] = ""
    every: Annotated[bool, Meta(description="Whether to replace all matches, or the first.")] = field(
        name="global", default=True
    )
    case_insensitive: _IgnoreCase = False


class ToBase64(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of ``text/to-base64``."""

    data: Annotated[Any, Meta(description="A text, a list of bytes, or a file.")]
    filename: Annotated[str | None, Meta(description="The name of the file, without folders.")] = None
    mime_type: Annotated[
        str | None,
        Meta(description="What the file is.", examples=["text/plain"], extra={"aliases": ("mime_type",)}),
    ] = field(name="mimeType", default=None)


@agent(id="text", name="Text")
class Text:
    """Change, cut, join, look through and encode texts."""

    @capability(side_effects=False)
    def render_template(
        self,
        text: Annotated[str | None, Meta(description="The template, in Jinja's language.")] = None,
        context: Annotated[Any, Meta(description="An object: the names that the template may use.")] = None,
    ) -> str:
        """The text of a template, with the values of the context. A missing name is an error."""
        if text is None:
            raise AgentError("TEXT_TEMPLATE_MISSING", "there is no template")
        if context is not None and not isinstance(context, dict):
            raise AgentError("TEXT_TEMPLATE_RENDER_ERROR", "the context has no names: it is not an object")
        try:
            return render(text, context or {})
        except TemplateInvalid as error:
            raise AgentError("TEXT_TEMPLATE_PARSE_ERROR", f"the template is not valid: {error}") from error
        except TemplateFailed as error:
            raise AgentError("TEXT_TEMPLATE_RENDER_ERROR", f"the template was not rendered: {error}") from error

    # ---- change

    @capability(side_effects=False)
    def trim_normalize(self, text: _Text = "") -> str:
        """The text with single spaces between its words, and none around them."""
        return " ".join((text or "").split())

    @capability(side_effects=False)
    def case_conversion(
        self,
        text: _Text = "",
        format: Annotated[  # noqa: A002 - the word of the language
            Literal["lowercase", "uppercase", "title-case"],
            Meta(description="title-case makes the first letter of each word a capital, and separates with one space."),
        ] = "lowercase",
    ) -> str:
        """The text in small letters, in capitals, or as a title."""
        if format == "title-case":
            return " ".join(word[0].upper() + word[1:].lower() for word in (text or "").split())
        return (text or "").lower() if format == "lowercase" else (text or "").upper()

    @capability(side_effects=False)
    def find_replace(
        self,
        text: _Text = "",
        pattern: Annotated[str | None, Meta(description="What to look for, letter by letter.")] = None,
        replacement: Annotated[str | None, Meta(description="What to put in its place.")] = None,
    ) -> str:
        """The text with one part replaced everywhere; the text itself when one of the two is missing."""
        if pattern is None or replacement is None:
            return text or ""
        return shapes.replace_all(text or "", pattern, replacement)

    @capability(side_effects=False)
    def remove_characters(
        self,
        text: _Text = "",
        pattern: Annotated[str | None, Meta(description="All characters to leave out.", examples=["()- "])] = None,
    ) -> str:
        """The text without certain characters."""
        return (text or "").translate(dict.fromkeys(map(ord, pattern or "")))

    @capability(side_effects=False)
    def slugify(self, text: _Text = "") -> str:
        """The text as a part of a URL: small letters without accents, digits, and hyphens for spaces."""
        return shapes.slugify(text or "")

    @capability(side_effects=False)
    def hash_text(self, text: _Text = "") -> str:
        """The SHA-256 of the text in hexadecimal digits; the empty text for the empty text."""
        return hashlib.sha256(text.encode()).hexdigest() if text else ""

    # ---- cut and join

    @capability(side_effects=False)
    def extract_first_line(self, text: _Text = "") -> str:
        """The first line of the text."""
        return next(iter(shapes.lines_of(text or "")), "")

    @capability(side_effects=False)
    def extract_first_word(self, text: _Text = "") -> str:
        """The first word of the text."""
        return next(iter((text or "").split(maxsplit=1)), "")

    @capability(side_effects=False)
    def split(self, text: _Text = "", delimiter: _Delimiter = ",") -> list[str]:
        """The parts of the text, as they are; none of the empty text."""
        return _split(text or "", delimiter)

    @capability(side_effects=False)
    def split_join(
        self,
        text: _Text = "",
        delimiter: _Delimiter = ",",
        join_delimiter: Annotated[str, Meta(description="What to put between the parts.")] = " ",
    ) -> str:
        """The parts of the text, trimmed, with something else between them."""
        parts = [part.strip() for part in _split(text or "", delimiter)]
        check_characters(sum(map(len, parts)) + len(parts) * len(join_delimiter))
        return join_delimiter.join(parts)

    @capability(side_effects=False)
    def collapse_expand_lines(
        self,
        text: _Text = "",
        delimiter: Annotated[
            str | None, Meta(description="With it, its parts become lines; without, the lines become one.")
        ] = None,
    ) -> str:
        """One line of many, with spaces in between; or many of one that has delimiters."""
        if not delimiter:
            return " ".join(line.strip() for line in shapes.lines_of(text or ""))
        return "\n".join(part.strip() for part in _split(text or "", delimiter))

    @capability(side_effects=False)
    def substring_extraction(
        self,
        text: _Text = "",
        start_delimiter: Annotated[str | None, Meta(description="What is right before the part.")] = None,
        end_delimiter: Annotated[str | None, Meta(description="What is right after the part.")] = None,
    ) -> str:
        """What is between the first start and the next end: nothing when there are none, all when none are given."""
        if start_delimiter is None or end_delimiter is None:
            return text or ""
        _, found, rest = (text or "").partition(start_delimiter) if start_delimiter else ("", "^", text or "")
        end = rest.find(end_delimiter)
        return rest[:end] if found and end >= 0 else ""

    @capability(side_effects=False)
    def pad_text(
        self,
        text: _Text = "",
        length: Annotated[_Length, Meta(description="How long the text shall be at least.")] = None,
        pad_char: Annotated[str, Meta(description="What to fill up with: the first character of this.")] = " ",
        direction: Annotated[shapes.Direction, Meta(description="Where; with both, the rest goes right.")] = "right",
    ) -> str:
        """The text, filled up to a length; an empty text stays empty."""
        return shapes.pad(text, length or 0, pad_char[:1] or " ", direction) if text else ""

    @capability(side_effects=False)
    def truncate_text(
        self,
        text: _Text = "",
        max_length: Annotated[_Length, Meta(description="How long it may be, with the suffix.")] = None,
        suffix: Annotated[str, Meta(description="What a text that was cut ends with.", examples=["…"])] = "",
        word_boundary: Annotated[bool, Meta(description="Whether to cut between words only.")] = False,
    ) -> str:
        """The text, cut to a length."""
        if max_length is None:
            return text or ""
        return shapes.truncate(text or "", max_length, suffix, word_boundary=word_boundary)

    @capability(side_effects=False)
    def wrap_text(
        self,
        text: _Text = "",
        width: Annotated[int, Meta(description="How long a line may be.", ge=1)] = 80,
        preserve_newlines: Annotated[bool, Meta(description="Whether lines that end stay ended.")] = True,
    ) -> str:
        """The text in lines of words that are not longer than the width; longer words are broken."""
        return shapes.wrap(text or "", width, preserve_newlines=preserve_newlines)

    # ---- look through

    @capability(side_effects=False)
    def extract_numbers(
        self,
        text: _Text = "",
        include_decimals: Annotated[bool, Meta(description="Whether a point belongs to a number.")] = True,
        include_negative: Annotated[bool, Meta(description="Whether a minus does.")] = False,
    ) -> list[int | float]:
        """The numbers in the text."""
        return shapes.numbers_in(text or "", decimals=include_decimals, negative=include_negative)

    @capability(side_effects=False)
    def extract_emails(self, text: _Text = "") -> list[str]:
        """The mail addresses in the text."""
        return shapes.emails_in(text or "")

    @capability(side_effects=False)
    def extract_urls(self, text: _Text = "") -> list[str]:
        """The URLs of http, https and ftp in the text."""
        return shapes.urls_in(text or "")

    @capability(side_effects=False)
    def compare_text(
        self,
        text_a: _Text = "",
        text_b: _Text = "",
        mode: Annotated[
            Literal["exact", "case-insensitive", "levenshtein-distance", "contains"],
            Meta(description="contains: whether the second text is in the first one."),
        ] = "exact",
    ) -> bool | int:
        """Whether two texts are the same, or one is in the other; or how many characters they differ in."""
        one, other = text_a or "", text_b or ""
        if mode == "levenshtein-distance":
            return shapes.distance(one, other)
        if mode == "case-insensitive":
            return one.casefold() == other.casefold()
        return one == other if mode == "exact" else other in one

    @capability(side_effects=False)
    def count_occurrences(
        self,
        context: CallContext,
        text: _Text = "",
        pattern: Annotated[str | None, Meta(description="What to count.")] = "",
        use_regex: Annotated[bool, Meta(description="Whether it is a regular expression (RE2).")] = False,
        case_insensitive: _IgnoreCase = False,
    ) -> int:
        """How often something is in the text, not counting what begins within another one."""
        if not pattern:
            return 0
        if use_regex:
            regex = compile_pattern(pattern, case_insensitive=case_insensitive)
            return sum(1 for _ in regex.matches(text or "", context.clock.monotonic))
        return _folded(text or "", case_insensitive).count(_folded(pattern, case_insensitive))

    # ---- regular expressions

    @capability(side_effects=False)
    def regex_replace(self, request: RegexReplace, context: CallContext) -> str:
        """The text with what matches replaced."""
        regex = compile_pattern(request.pattern, case_insensitive=request.case_insensitive)
        if not request.text:
            return ""
        seconds = context.clock.monotonic
        return regex.replace(request.text, request.replacement, every=request.every, seconds=seconds)

    @capability(side_effects=False)
    def regex_match(
        self,
        context: CallContext,
        pattern: _Regex,
        text: _Text = "",
        capture_group: Annotated[int, Meta(description="The group to give; 0 is the whole match.", ge=0)] = 0,
        all_matches: Annotated[bool, Meta(description="Whether to give a list of all matches.")] = False,
        case_insensitive: _IgnoreCase = False,
    ) -> Any:
        """What matches: a text, or null; or a list of all, without those in which the group has no part."""
        regex = compile_pattern(pattern, case_insensitive=case_insensitive)
        regex.check_group(capture_group)
        matches = regex.matches(text, context.clock.monotonic) if text else iter(())
        if not all_matches:
            return next((match[capture_group] for match in matches), None)
        return [found for match in matches if (found := match[capture_group]) is not None]

    @capability(side_effects=False)
    def regex_test(self, pattern: _Regex, text: _Text = "", case_insensitive: _IgnoreCase = False) -> bool:
        """Whether there is a match in the text."""
        return compile_pattern(pattern, case_insensitive=case_insensitive).is_in(text or "")

    @capability(side_effects=False)
    def regex_split(
        self,
        context: CallContext,
        pattern: _Regex,
        text: _Text = "",
        limit: Annotated[int, Meta(description="How many pieces at most; 0 is all.", ge=0)] = 0,
    ) -> list[str]:
        """What is between the matches; nothing of the empty text."""
        regex = compile_pattern(pattern)
        return regex.split(text, limit, context.clock.monotonic) if text else []

    # ---- bytes

    @capability(side_effects=False)
    def as_byte_array(self, text: _Text = "", encoding: _Encoding = "UTF-8") -> list[int]:
        """The bytes of the text, as numbers."""
        data = _encoded(text or "", encoding)
        if len(data) > _BYTES_MAX:
            raise AgentError("TEXT_OUTPUT_TOO_LARGE", f"the list would have more than {_BYTES_MAX} numbers")
        return list(data)

    @capability(side_effects=False)
    def from_base64(
        self,
        data: Annotated[Any, Meta(description="A text in base64, a file, or a list of bytes.")],
        encoding: Annotated[
            str, Meta(description="The name of an encoding; AUTO is UTF-8, or else windows-1252.")
        ] = "UTF-8",
    ) -> str:
        """The text that the bytes are."""
        return _decoded(bytes_of(data), encoding)

    @capability(side_effects=False)
    def to_base64(self, request: ToBase64) -> FileData:
        """A file with the text in it (in UTF-8), or with the bytes; or a file under another name."""
        known = request.data if isinstance(request.data, dict) else {}
        data = request.data.encode() if isinstance(request.data, str) else _bytes(request.data)
        check_characters(len(data) * 4 // 3)
        return FileData.of(data, request.filename or known.get("filename"), request.mime_type or known.get("mimeType"))


def _split(text: str, delimiter: str) -> list[str]:
    if not text:
        return []
    return text.split(delimiter) if delimiter else list(text)


def _folded(text: str, case_insensitive: bool) -> str:
    return text.casefold() if case_insensitive else text


def _codec(encoding: str) -> str:
    codec = find_codec(encoding)
    if codec is None:
        raise AgentError("TEXT_UNSUPPORTED_ENCODING", f"there is no encoding {encoding[:60]!r}")
    return codec


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return encode_text(text, _codec(encoding))
    except UnicodeEncodeError as error:
        character = text[error.start]
        raise AgentError("TEXT_ENCODE_ERROR", f"{encoding} has no character {character!r}") from None


def _decoded(data: bytes, encoding: str) -> str:
    automatic = encoding.strip().upper() == "AUTO"
    codec = "utf-8" if automatic else _codec(encoding)
    try:
        return decode_text(data, codec)
    except UnicodeDecodeError as error:
        if automatic:
            return decode_text(data, "cp1252")
        code = "TEXT_UTF8_DECODE_ERROR" if codec == "utf-8" else "TEXT_DECODE_ERROR"
        raise AgentError(code, f"byte {error.start} is not {encoding}: {error.reason}") from None


_CODES: Final = {
    "FILE_BASE64_DECODE_ERROR": "TEXT_INVALID_FILE_DATA",
    "FILE_INVALID_STRUCTURE": "TEXT_INVALID_FILE_DATA",
    "FILE_INVALID_BYTE_ARRAY": "TEXT_INVALID_BYTE_ARRAY",
    "FILE_BYTE_OUT_OF_RANGE": "TEXT_BYTE_OUT_OF_RANGE",
    "FILE_INVALID_INPUT_TYPE": "TEXT_INVALID_INPUT_TYPE",
}


def _bytes(value: Any) -> bytes:
    try:
        return bytes_of(value)
    except AgentError as error:
        raise AgentError(_CODES[error.code], error.message) from None
