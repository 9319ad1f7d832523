from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtara.errors import InvalidRequest, Unavailable
from runtara.limits import ERROR_BYTES_MAX
from runtara.sdk.failures import category_of, describe


def described(error: Exception) -> dict[str, Any]:
    try:
        raise error
    except Exception as raised:
        data: dict[str, Any] = msgspec.json.decode(describe(raised))
        return data


def test_an_exception_is_described_by_what_it_is_and_where_it_was() -> None:
    data = described(ValueError("no such order"))
    traceback = data.pop("traceback")
    assert data == {
        "code": "program.failed",
        "message": "no such order",
        "category": "permanent",
        "type": "ValueError",
    }
    assert "raise error" in traceback


def test_an_error_of_ours_keeps_its_code_and_hint() -> None:
    data = described(InvalidRequest("no", hint="Say yes."))
    assert (data["code"], data["hint"]) == ("request.invalid", "Say yes.")


@pytest.mark.parametrize(
    ("error", "category"),
    [(ValueError(), None), (InvalidRequest("no"), "permanent"), (Unavailable("away"), "transient")],
)
def test_some_errors_say_whether_another_try_may_help(error: Exception, category: str | None) -> None:
    assert category_of(error) == category


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [Unspeakable(), ValueError("\udcff"), ValueError("x" * 10_000_000), ValueError(), ValueError('"\\\x00' * 10_000)],
    ids=["unspeakable", "surrogate", "huge", "empty", "quotes"],
)
def test_whatever_the_exception_it_is_described_within_the_limit(error: Exception) -> None:
    data = described(error)
    assert data["message"]
    assert len(describe(error)) <= ERROR_BYTES_MAX
