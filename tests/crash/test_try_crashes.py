"""What products find with ``try_crashes`` and ``runtara test-crash``: nothing where all is well, and what is not."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtara.agents import CallContext, agent, capability
from runtara.cli.app import run as run_command
from runtara.errors import InvalidRequest
from runtara.testing import ScriptedSignal, run_scenario, try_crashes
from runtara.testing.crashes import completed_twice, crash_points, difference_of
from tests.support.scenarios import agent as step
from tests.support.scenarios import echo, finish, immediate, reference, scenario

PAID = {"status_code": 200, "headers": {}, "body": "paid", "success": True}


def payment() -> dict[str, Any]:
    """An effect, a long wait, and another effect: three attempts when one is crashed."""
    return scenario(
        step("charge", "http/request", {"url": immediate("http://nowhere/charge")}),
        {"stepType": "Delay", "id": "rest", "durationMs": immediate(90_000)},
        step("mail", "http/request", {"url": immediate("http://nowhere/mail")}),
        finish(body=reference("steps.mail.outputs.body")),
    )


def counting() -> dict[str, Any]:
    """A scenario whose result is what a double says."""
    return scenario(step("count", "test/count"), finish(count=reference("steps.count.outputs")))


def counter() -> dict[str, Any]:
    """A service that does not honour idempotency keys."""
    numbers = itertools.count(1)
    return {"test/count": lambda _inputs: next(numbers)}


# ---- the pure part


async def test_a_scenario_that_is_well_ends_the_same_after_every_crash_in_every_attempt():
    report = await try_crashes(payment(), {}, agents={"http/request": lambda _inputs: PAID})
    assert report.is_clean
    assert report.undisturbed.output == {"body": "paid"}
    assert [(run.point.when, run.point.call) for run in report.runs] == [
        (when, call) for call in range(1, report.undisturbed.persistence_calls + 1) for when in ("before", "after")
    ]
    assert all(run.result.checkpoints_at_crash is not None for run in report.runs), "each run died"


async def test_an_effect_in_flight_at_the_crash_is_repeated_with_its_key_and_counted():
    report = await try_crashes(payment(), {}, agents={"http/request": lambda _inputs: PAID})
    repeated = {run.point: [call.step_id for call in run.repeated] for run in report.runs if run.repeated}
    assert sorted(repeated.values()) == [["charge"], ["mail"]]
    assert {point.when for point in repeated} == {"before"}
    assert report.effects_sent == 2 * (1 + len(report.runs)) + 2


async def test_a_run_says_what_was_stored_last_when_it_died():
    report = await try_crashes(payment(), {}, agents={"http/request": lambda _inputs: PAID})
    assert [run.last_checkpoint for run in report.runs][:3] == [None, "charge", "charge"]
    assert report.runs[-1].last_checkpoint == "mail"


async def test_an_effect_that_answers_a_repeated_call_otherwise_is_caught():
    report = await try_crashes(counting(), {}, agents=counter)
    first = report.first_difference
    assert first is not None
    assert (first.point.when, first.point.call) == ("before", 1)
    assert [call.idempotency_key for call in first.repeated] == ["memory-instance:count"]
    assert first.difference is not None
    assert (first.difference.path, first.difference.expected, first.difference.found) == ("output.count", 1, 2)


async def test_doubles_that_remember_are_made_anew_for_each_run_by_a_function():
    shared = counter()
    of_all_runs = await try_crashes(counting(), {}, agents=shared)
    assert all(run.difference for run in of_all_runs.runs), "the counter has gone on from run to run"
    anew = await try_crashes(counting(), {}, agents=counter)
    assert [run.difference is not None for run in anew.runs[:2]] == [True, False]


@agent(id="sloppy")
class Sloppy:
    """Says that it has no side effects, and has."""

    def __init__(self) -> None:
        self.sent = 0

    @capability(side_effects=False)
    def send(self, context: CallContext) -> int:
        """Send, and count."""
        self.sent += 1
        return self.sent


async def test_an_agent_whose_side_effect_is_not_declared_is_caught():
    document = scenario(
        step("send", "sloppy/send"),
        echo("copy", reference("steps.send.outputs")),
        finish(sent=reference("steps.copy.outputs")),
    )
    report = await try_crashes(document, {}, agents=lambda: {"sloppy": Sloppy()})
    assert report.first_difference is not None
    assert report.first_difference.difference is not None
    assert report.first_difference.difference.path == "output.sent"


async def test_an_effect_that_is_called_though_its_result_was_recorded_is_found():
    doubles = {"http/request": lambda _inputs: PAID}
    honest = await run_scenario(payment(), {}, agents=doubles, crash_after=1)
    assert completed_twice(honest) is None
    charge, mail = honest.calls
    broken = replace(honest, calls=(charge, charge, mail))
    found = completed_twice(broken)
    assert found is not None
    assert found.path == "effects.charge"
    in_flight = await run_scenario(payment(), {}, agents=doubles, crash_before=1)
    assert [call.step_id for call in in_flight.calls] == ["charge", "charge", "mail"]
    assert completed_twice(in_flight) is None


async def test_the_same_error_is_as_good_as_the_same_output():
    document = scenario(step("broken", "test/broken", maxRetries=1), finish())

    def fail(_inputs: Any) -> None:
        raise ValueError("no")

    report = await try_crashes(document, {}, agents={"test/broken": fail})
    assert (report.is_clean, report.undisturbed.status) == (True, "failed")


async def test_a_scenario_that_waits_for_a_signal_is_given_it_or_refused():
    wait = {"stepType": "WaitForSignal", "id": "approve"}
    document = scenario(wait, finish(by=reference("steps.approve.outputs.by")))
    report = await try_crashes(
        document, {}, signals=[ScriptedSignal(kind="custom", name="approve", payload={"by": "Ann"})]
    )
    assert (report.is_clean, report.undisturbed.output) == (True, {"by": "Ann"})
    with pytest.raises(InvalidRequest, match="does not end"):
        await try_crashes(document, {})


async def test_children_are_crashed_too():
    child = scenario(step("pay", "test/pay"), finish(outputs=reference("steps.pay.outputs")))
    start = {"stepType": "StartScenario", "id": "call", "childScenarioId": "kid", "childVersion": "latest"}
    parent = scenario(start, finish(paid=reference("steps.call.outputs")))
    report = await try_crashes(parent, {}, children={"kid": child}, agents={"test/pay": lambda _inputs: 7})
    assert (report.is_clean, report.undisturbed.output) == (True, {"paid": 7})
    assert {run.last_checkpoint for run in report.runs} == {None, "call/pay"}


def test_a_maximum_of_crashes_is_spread_over_the_whole_run():
    assert len(crash_points(3)) == 6
    assert crash_points(3, 6) == crash_points(3)
    spread = crash_points(500, 4)
    assert [(point.when, point.call) for point in spread] == [
        ("before", 1), ("before", 126), ("before", 251), ("before", 376),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "found", "path"),
    [
        (1, 1, None),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, None),
        (1, 2, "output"),
        (1, True, "output"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "output.b"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "output.a[1]"),
        ({"a": [1]}, {"a": [1, 3]}, "output.a"),
        ({"a": None}, {}, "output.a"),
    ],
)
def test_a_difference_is_named_by_its_path(expected: Any, found: Any, path: str | None):
    difference = difference_of(expected, found, "output")
    assert (None if difference is None else difference.path) == path


# ---- the command


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(document: Any, name: str = "scenario.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return write


def test_the_command_shows_a_row_for_each_crash_and_how_many_effects_went_out(written, capsys):
    double = f"http/request={json.dumps(PAID)}"
    assert run_command(["test-crash", str(written(payment())), "--double", double]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["CRASH", "LAST", "CHECKPOINT", "ATTEMPTS", "EFFECTS", "REPEATED", "RESULT"]
    assert out[1].split() == ["before", "1", "-", "3", "3", "1", "same"]
    assert out[-1].split() == ["result", "the", "same", "after", "every", "crash"]
    assert any(line.startswith("effects sent  24 in all runs") for line in out)


def test_the_command_prints_one_document_for_programs(written, capsys):
    double = f"http/request={json.dumps(PAID)}"
    assert run_command(["test-crash", str(written(payment())), "--double", double, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["same"], document["first_difference"], document["effects_sent"]) == (True, None, 24)
    assert document["undisturbed"]["output"] == {"body": "paid"}
    assert len(document["crashes"]) == 2 * document["undisturbed"]["persistence_calls"]


def test_the_command_ends_with_1_and_the_first_difference(written, capsys):
    """Chance is no effect: what it decided and nothing depends on yet is decided again."""
    document = scenario(step("dice", "utils/random-double"), finish(number=reference("steps.dice.outputs")))
    assert run_command(["test-crash", str(written(document))]) == 1
    captured = capsys.readouterr()
    assert "DIFFERENT: with a crash before call 1, output.number is 0." in captured.out
    assert captured.err.startswith("utils/random-double never says the same twice")
    assert run_command(["test-crash", str(written(document)), "--double", "utils/random-double=0.5"]) == 0
    capsys.readouterr()
    assert run_command(["test-crash", str(written(document)), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["first_difference"]["difference"]["path"] == "output.number"


def test_the_command_takes_children_signals_and_an_envelope(written, capsys):
    child = scenario(finish(outputs=reference("data.n")))
    start = {"stepType": "StartScenario", "id": "call", "childScenarioId": "kid", "childVersion": 1}
    start["inputMapping"] = {"n": reference("variables.n")}
    wait = {"stepType": "WaitForSignal", "id": "approve"}
    parent = scenario(start, wait, finish(n=reference("steps.call.outputs"), by=reference("steps.approve.outputs.by")))
    parent["variables"] = {"n": {"type": "number", "value": 1}}
    arguments = ["--child", f"kid={written(child, 'kid.json')}", "--signal", 'approve={"by": "Ann"}', "--json"]
    envelope = '{"data": {}, "variables": {"n": 5}}'
    assert run_command(["test-crash", str(written(parent)), "--input", envelope, *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["undisturbed"]["output"] == {"n": 5, "by": "Ann"}


def test_a_double_that_stood_in_for_nothing_is_told(written, capsys):
    assert run_command(["test-crash", str(written(scenario(finish()))), "--double", "http/requst=1"]) == 0
    assert "never called http/requst" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--double", "x"], ["--double", "a/b={"], ["--child", "x=/nowhere"], ["--signal", "a={"], ["--crashes", "0"]],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(written, capsys, arguments):
    assert run_command(["test-crash", str(written(scenario(finish()))), *arguments]) == 2
    assert capsys.readouterr().out == ""


def test_a_scenario_with_mistakes_is_refused_with_all_of_them(written, capsys):
    broken = scenario(finish(a=reference("steps.nowhere.outputs")))
    assert run_command(["test-crash", str(written(broken)), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["diagnostics"]
