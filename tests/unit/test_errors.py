"""An error crosses the wire whole, whatever its facts are called."""

from __future__ import annotations

import pytest

from runtara.errors import Conflict, InternalError, NotFound, RuntaraError, WireError

NAMES_OF_ITS_OWN = ("self", "message", "hint", "retry_after_ms", "code", "family", "attributes")


@pytest.mark.parametrize("name", NAMES_OF_ITS_OWN)
def test_an_attribute_may_be_named_like_a_part_of_the_error(name: str) -> None:
    wire = WireError(NotFound.code, NotFound.family, "gone", "look elsewhere", 9, {name: "theirs"})
    error = RuntaraError.from_wire(wire)
    assert type(error) is NotFound
    assert (error.message, error.hint, error.retry_after_ms) == ("gone", "look elsewhere", 9)
    assert error.attributes == {name: "theirs"}
    assert error.to_wire() == wire


def test_an_error_may_be_raised_with_such_an_attribute() -> None:
    assert NotFound("gone", self=1, message=2).to_wire().attributes == {"self": 1, "message": 2}


def test_the_attributes_of_an_error_are_its_own() -> None:
    """A ``WireError`` is frozen, and its default is shared by all: more facts of one error must not reach another."""
    wire = WireError(NotFound.code, NotFound.family, "gone")
    RuntaraError.from_wire(wire).attributes["more"] = 1
    assert RuntaraError.from_wire(wire).attributes == {}


def test_an_unknown_family_is_a_bug_and_keeps_its_code() -> None:
    error = RuntaraError.from_wire(WireError("moon.full", "lunar", "howl"))
    assert type(error) is InternalError
    assert (error.code, error.message) == ("moon.full", "howl")
    assert InternalError.code == "internal.bug"


def test_the_message_is_what_a_person_reads() -> None:
    assert str(Conflict("the instance has ended")) == "the instance has ended"
