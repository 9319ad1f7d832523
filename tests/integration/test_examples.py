"""The examples, run as they are written: in process, and crashed again and again."""

from __future__ import annotations

import json
from typing import Final

import pytest

from runtara.dsl import validate
from tests.support.examples import FOLDER, Example, examples, run_example

ALL: Final = examples()

README: Final = FOLDER.parent / "README.md"

_CRASHES_FAST_MAX: Final = 8
"""Examples with more places for a crash are tried at all of them among the slow tests."""

of_all = pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)


def test_there_are_thirty_of_them() -> None:
    assert len(ALL) >= 30


@of_all
def test_an_example_is_listed_for_people_and_says_what_it_does(example: Example) -> None:
    assert f"(scenarios/{example.name}.json)" in README.read_text()
    document = json.loads(example.document)
    assert document["name"]
    assert document["description"].endswith(".")


@of_all
def test_nothing_is_to_be_said_about_an_example(example: Example) -> None:
    assert validate(example.document, example.children) == ()


@of_all
async def test_an_example_comes_to_its_expected_output(example: Example) -> None:
    result, _ = await run_example(example)
    assert result.status == "completed", result.error
    assert result.output == example.expected


@of_all
async def test_nothing_in_the_world_of_an_example_is_left_over(example: Example) -> None:
    _, store = await run_example(example)
    asked = {f"{request.method} {request.path}" for request in store.world.requests}
    assert set(example.world.get("http", {})) <= asked
    assert store.world.unsaid == 0
    assert store.signals == {}


@of_all
async def test_an_example_that_crashes_comes_to_the_same_and_repeats_nothing(example: Example) -> None:
    points = await places_of_crashes(example)
    await crash_at(example, points[:: -(-len(points) // _CRASHES_FAST_MAX)])


@pytest.mark.slow
@pytest.mark.timeout(300)
@of_all
async def test_an_example_may_crash_at_every_fifth_call(example: Example) -> None:
    await crash_at(example, await places_of_crashes(example))


async def places_of_crashes(example: Example) -> list[int]:
    """Every fifth persistence call but the last; every one, where there are few."""
    result, _ = await run_example(example)
    calls = result.persistence_calls
    return list(range(1, calls, 5 if calls > 15 else 1))


async def crash_at(example: Example, points: list[int]) -> None:
    undisturbed, _ = await run_example(example)
    assert points
    for point in points:
        result, store = await run_example(example, crash_after=point)
        assert result.status == "completed", (point, result.error)
        assert result.output == example.expected, point
        assert store.repeated() == [], point
        # A crash right when the run was going to wait anyway costs no attempt.
        assert undisturbed.attempts <= result.attempts <= undisturbed.attempts + 1, point
