"""The recorded bytes of the protocol: ``schema/golden/messages.json``.

    python tools/golden_messages.py          say which messages have no recorded bytes
    python tools/golden_messages.py --add    record those; what is recorded already never changes

Each entry has the frame in hexadecimal and the value that it must decode to, for ever.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from runtara.errors import Conflict, RuntaraError
from runtara.protocol import codec, messages

GOLDEN = Path(__file__).parents[1] / "schema" / "golden" / "messages.json"

FRAME_BYTES_MAX = 1_000_000
MESSAGES: dict[str, type[messages.Message]] = {cls.__name__: cls for cls in typing.get_args(messages.AnyMessage)}
ERROR_NAME = "error"


def sample(kind: Any) -> Any:
    """A value of the type, always the same, and never its default."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return sample(arguments[0])
    if origin is tuple:
        return (sample(arguments[0]),) if arguments[1:] == (...,) else tuple(map(sample, arguments))
    if origin is dict:
        return {sample(arguments[0]): sample(arguments[1])}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(**{field: sample(hints[field]) for field in kind.__struct_fields__})
    return {
        bool: True,
        int: 7,
        float: 1.5,
        str: "text é",
        bytes: b"\x00bytes\xff",
        datetime: datetime(2026, 11, 24, 8, 15, 30, 123456, tzinfo=UTC),
        Any: ["anything", 1, None],
    }[kind]


def plain(value: Any) -> Any:
    """The value as JSON that names every field."""
    if isinstance(value, msgspec.Struct):
        return {field: plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, RuntaraError):
        return plain(value.to_wire())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


def record() -> dict[str, dict[str, Any]]:
    """An entry for every message, and one for an error."""
    frames = {
        name: codec.encode(codec.REQUEST, number, sample(cls), frame_bytes_max=FRAME_BYTES_MAX)
        for number, (name, cls) in enumerate(MESSAGES.items(), 1)
    }
    error = Conflict("the state moved on", hint="Look again.", retry_after_ms=100, status="failed")
    frames[ERROR_NAME] = codec.encode_error(7, error, frame_bytes_max=FRAME_BYTES_MAX)
    return {name: {"hex": frame.hex(), "value": plain(codec.decode(frame[4:])[2])} for name, frame in frames.items()}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", action="store_true")
    arguments = parser.parse_args()
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    missing = {name: entry for name, entry in record().items() if name not in known}
    if not missing:
        print("every message has recorded bytes")
        return 0
    if not arguments.add:
        print("without recorded bytes:", ", ".join(missing))
        return 1
    GOLDEN.write_text(json.dumps(known | missing, indent=1, ensure_ascii=False) + "\n")
    print("recorded:", ", ".join(missing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
