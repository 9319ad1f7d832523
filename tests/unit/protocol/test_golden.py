"""What was ever on the wire can be read for ever. ``tools/golden_messages.py --add`` records a new message."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from runtara.errors import RuntaraError
from runtara.protocol.codec import decode
from runtara.protocol.framing import cut_frames
from tools.golden_messages import ERROR_NAME, GOLDEN, MESSAGES, plain

RECORDED: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_bytes_decode_to_the_recorded_value(name: str) -> None:
    [payload], _ = cut_frames(bytes.fromhex(RECORDED[name]["hex"]), frame_bytes_max=1_000_000)
    _, _, value = decode(payload)
    assert type(value).__name__ == name or isinstance(value, RuntaraError)
    assert_same(RECORDED[name]["value"], value, path=name)


def assert_same(recorded: Any, value: Any, *, path: str) -> None:
    """Every recorded field is as it was; fields that came later have their defaults."""
    if isinstance(value, tuple):
        assert len(recorded) == len(value), path
        for index, item in enumerate(value):
            assert_same(recorded[index], item, path=f"{path}[{index}]")
        return
    if not isinstance(value, msgspec.Struct):
        assert recorded == plain(value), path
        return
    fields = {field.name: field for field in msgspec.structs.fields(value)}
    assert list(recorded) == list(fields)[: len(recorded)], f"{path}: fields are only ever appended"
    for name, field in fields.items():
        if name in recorded:
            assert_same(recorded[name], getattr(value, name), path=f"{path}.{name}")
        else:
            assert getattr(value, name) == default_of(field), f"{path}.{name}"


def default_of(field: Any) -> Any:
    assert not field.required, f"{field.name} was appended without a default"
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def test_every_message_is_recorded() -> None:
    missing = set(MESSAGES) - set(RECORDED)
    assert not missing, "run: python tools/golden_messages.py --add"
    assert set(RECORDED) == {*MESSAGES, ERROR_NAME}, "a message that was on the wire stays readable"


def test_no_number_is_used_twice() -> None:
    numbers = [cls.__struct_config__.tag for cls in MESSAGES.values()]
    assert len(set(numbers)) == len(numbers)
