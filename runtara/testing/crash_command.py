"""``runtara test-crash``: crash a scenario at each of its persistence calls, in this process, and compare."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from runtara.agents import registry
from runtara.cli.app import EXIT_FAILED
from runtara.cli.children import child_option
from runtara.cli.compile import show_refusal
from runtara.cli.output import emit_json, facts, note, shown, table
from runtara.cli.session import debug_option, json_option, json_value
from runtara.dsl.children import Child
from runtara.errors import ScenarioInvalid
from runtara.testing.crashes import CrashedRun, CrashReport, Difference, try_crashes
from runtara.testing.scenario import ScriptedSignal

__all__ = ("test_crash_command",)

_COLUMNS: Final = ("crash", "last checkpoint", "attempts", "effects", "repeated", "result")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--input", "document", metavar="JSON|@FILE", callback=json_value, help="[{}]")
@child_option
@click.option(
    "--double", "doubles", multiple=True, metavar="AGENT/CAPABILITY=JSON|@FILE", help="Reply this, and call nothing."
)
@click.option("--signal", "signals", multiple=True, metavar="NAME[=JSON]", help="Comes when the run waits; in order.")
@click.option("--connections", "connection_url", metavar="URL", help="The service that knows the connections.")
@click.option("--crashes", "crashes_max", type=click.IntRange(1), help="At most so many, evenly spread. [all]")
@json_option
@debug_option
def test_crash_command(
    *,
    file: Path,
    document: msgspec.Raw | None,
    children: tuple[Child, ...],
    doubles: tuple[str, ...],
    signals: tuple[str, ...],
    connection_url: str | None,
    crashes_max: int | None,
    as_json: bool,
) -> int:
    """Run the scenario in FILE once, then with a crash before and after each call that stores something.

    Every run must end with the same output or the same error, and no effect whose result was stored may happen again.
    Exit code 1 when one does not. The runs are in this process, sleeping takes no time, and nothing is kept; but what
    --double does not replace is called for real, once in each run.
    """
    data, variables = _opened(document)
    replies = dict(_pair(each, "--double") for each in doubles)
    testing = try_crashes(
        file.read_bytes(),
        data,
        variables=variables,
        children={child.name: child.document for child in children},
        agents={name: _always(_value(written, "--double")) for name, written in replies.items()},
        signals=[_signal(each) for each in signals],
        connection_url=connection_url,
        crashes_max=crashes_max,
    )
    try:
        report = asyncio.run(testing)
    except ScenarioInvalid as error:
        return show_refusal(error, as_json=as_json)
    _note_unused(report, replies)
    if not report.is_clean:
        _note_chance(report, replies)
    if as_json:
        emit_json(_described(report))
    else:
        _show(report)
    return 0 if report.is_clean else EXIT_FAILED


# ---- what is given


def _opened(document: msgspec.Raw | None) -> tuple[Any, Mapping[str, Any]]:
    """The data and the variables of an input, which may be an envelope of both."""
    value = {} if document is None else msgspec.json.decode(document)
    if not isinstance(value, dict) or "data" not in value or value.keys() - {"data", "variables"}:
        return value, {}
    variables = value.get("variables") or {}
    if not isinstance(variables, dict):
        raise click.BadParameter("the variables of the input are not an object", param_hint="--input")
    return value["data"], variables


def _pair(written: str, option: str) -> tuple[str, str]:
    name, separator, value = written.partition("=")
    if not name or not separator:
        raise click.BadParameter(f"{written!r} is not NAME=VALUE", param_hint=option)
    return name, value


def _value(written: str, option: str) -> Any:
    try:
        return msgspec.json.decode(_read(written[1:]) if written.startswith("@") else written)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise click.BadParameter(f"{written[:60]!r} is not JSON: {error}", param_hint=option) from None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{path!r} cannot be read: {error.strerror}") from None


def _signal(written: str) -> ScriptedSignal:
    name, separator, payload = written.partition("=")
    return ScriptedSignal(kind="custom", name=name, payload=_value(payload, "--signal") if separator else None)


def _always(reply: Any) -> Callable[[Mapping[str, Any]], Any]:
    return lambda _inputs: reply


# ---- what came of it


def _note_unused(report: CrashReport, names: Iterable[str]) -> None:
    """A misspelt double means that the real thing was called."""
    called = {f"{call.agent_id}/{call.capability_id}" for call in report.undisturbed.calls}
    for name in sorted(set(names) - called):
        note(f"The scenario never called {name}, so its double stood in for nothing.")


def _note_chance(report: CrashReport, names: Iterable[str]) -> None:
    """What is random, or the time, is another in another run, and nobody is to blame."""
    called = {(call.agent_id, call.capability_id) for call in report.undisturbed.calls if not call.has_side_effects}
    for agent_id, capability_id in sorted(called):
        found = registry().find_capability(agent_id, capability_id)
        if found is not None and not found.info.is_idempotent and f"{agent_id}/{capability_id}" not in names:
            note(f"{agent_id}/{capability_id} never says the same twice; with a --double for it, it does.")


def _show(report: CrashReport) -> None:
    table(_COLUMNS, [_row(run) for run in report.runs])
    click.echo()
    undisturbed, first = report.undisturbed, report.first_difference
    facts(
        [
            ("undisturbed", f"{undisturbed.status}, {undisturbed.persistence_calls} persistence calls"),
            ("error", undisturbed.error and undisturbed.error.get("message")),
            ("crashes", len(report.runs)),
            ("effects sent", f"{report.effects_sent} in all runs, {len(undisturbed.effects)} of them undisturbed"),
            ("result", "the same after every crash" if first is None else _told(first)),
        ]
    )


def _row(run: CrashedRun) -> tuple[Any, ...]:
    return (
        f"{run.point.when} {run.point.call}",
        run.last_checkpoint,
        run.result.attempts,
        len(run.result.effects),
        len(run.repeated),
        "same" if run.difference is None else f"DIFFERENT: {run.difference.path}",
    )


def _told(run: CrashedRun) -> str:
    difference = run.difference
    assert difference is not None
    changed = f"{difference.path} is {_short(difference.found)}, undisturbed {_short(difference.expected)}"
    return f"DIFFERENT: with a crash {run.point.when} call {run.point.call}, {changed}"


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _described(report: CrashReport) -> dict[str, Any]:
    undisturbed, first = report.undisturbed, report.first_difference
    return {
        "same": report.is_clean,
        "undisturbed": {
            "status": undisturbed.status,
            "output": undisturbed.output,
            "error": undisturbed.error,
            "persistence_calls": undisturbed.persistence_calls,
            "effects": len(undisturbed.effects),
        },
        "effects_sent": report.effects_sent,
        "first_difference": None if first is None else _run(first),
        "crashes": [_run(run) for run in report.runs],
    }


def _run(run: CrashedRun) -> dict[str, Any]:
    return {
        "when": run.point.when,
        "call": run.point.call,
        "last_checkpoint": run.last_checkpoint,
        "attempts": run.result.attempts,
        "effects": len(run.result.effects),
        "repeated": [call.idempotency_key for call in run.repeated],
        "difference": _difference(run.difference),
    }


def _difference(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {"path": difference.path, "expected": difference.expected, "found": difference.found}
