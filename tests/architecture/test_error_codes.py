"""``schema/errors.toml`` and the classes say the same, and every error survives the wire."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from runtara.errors import Conflict, InternalError, InvalidRequest, RuntaraError, Unavailable, WireError
from tests.architecture.test_public_surface import module_names

LISTED: dict[str, dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[2] / "schema" / "errors.toml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def codes() -> dict[str, type[RuntaraError]]:
    """Every code of the product; errors live next to the rules that they protect, so all modules are imported."""
    for name in module_names():
        importlib.import_module(name)
    return {code: error for code, error in RuntaraError.codes().items() if error.__module__.startswith("runtara.")}


def test_every_code_is_listed_and_every_listed_code_exists(codes: dict[str, type[RuntaraError]]) -> None:
    assert sorted(codes) == list(LISTED), "schema/errors.toml lists every code, in order"


def test_the_list_says_what_the_classes_say(codes: dict[str, type[RuntaraError]]) -> None:
    said = {code: (one["family"], one["retryable"]) for code, one in LISTED.items()}
    assert said == {code: (error.family, error.retryable) for code, error in codes.items()}


@pytest.mark.parametrize("code", LISTED)
def test_every_code_is_explained(code: str) -> None:
    assert LISTED[code].keys() == {"family", "retryable", "meaning", "action"}
    assert LISTED[code]["meaning"].endswith(".")
    assert LISTED[code]["action"].endswith(".")
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", code)


def test_every_error_belongs_to_one_family(codes: dict[str, type[RuntaraError]]) -> None:
    families = (InvalidRequest, Conflict, Unavailable, InternalError)
    for error in codes.values():
        assert sum(issubclass(error, family) for family in families) == 1
        assert error.retryable == issubclass(error, Unavailable)


def test_every_error_survives_the_wire(codes: dict[str, type[RuntaraError]]) -> None:
    for code in codes:
        wire = WireError(code, LISTED[code]["family"], "what happened", "what to do", 250, {"actual": 3})
        error = RuntaraError.from_wire(wire)
        assert type(error) is codes[code]
        assert error.to_wire() == wire


def test_a_code_of_a_newer_peer_becomes_its_family() -> None:
    error = RuntaraError.from_wire(WireError("state.of_tomorrow", "conflict", "new"))
    assert type(error) is Conflict
    assert error.to_wire().code == "state.of_tomorrow"
