"""The steps of a run as they happen, on a terminal and elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from runtara.cli.progress import INNER_STEPS_SHOWN, PlainLines, Progress, TerminalLines, screen_for
from runtara.client import Event

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(step_id: str, *, at_ms: int = 0, ends: bool = False, scope: str | None = None, **facts: Any) -> Event:
    payload = {
        "step_id": step_id, "step_name": None, "step_type": "Agent", "scope_id": scope, "parent_scope_id": None,
        "loop_indices": [], "timestamp_ms": at_ms, **facts,
    }  # fmt: skip
    subtype = "step_debug_end" if ends else "step_debug_start"
    return Event(event_no=1, type="custom", subtype=subtype, payload=payload, attempt=1, created_at=NOW)


FAILURE = {"_error": True, "error": {"code": "BROKEN", "message": "it is broken"}}


def on_terminal(*events: Event) -> str:
    file = io.StringIO()
    screen = TerminalLines(file)
    progress = Progress(screen)
    for each in events:
        progress.apply(each)
    screen.close()
    return file.getvalue()


def displayed(written: str) -> list[str]:
    """What a terminal shows in the end: a line that is erased is gone."""
    return [line.rpartition("\r\x1b[K")[2] for line in written.split("\n")]


def test_plain_lines_say_that_a_step_begins_and_how_it_ended(capsys: Any) -> None:
    progress = Progress(PlainLines())
    progress.apply(event("a", at_ms=1_000))
    progress.apply(event("a", at_ms=1_012, ends=True))
    progress.apply(event("b", at_ms=2_000, scope="sc_loop_0"))
    progress.apply(event("b", at_ms=5_500, ends=True, scope="sc_loop_0", outputs=FAILURE))
    assert capsys.readouterr().err.splitlines() == [
        "a begins", "a completed (12 ms)", "loop_0/b begins", "loop_0/b failed (3.5 s) BROKEN: it is broken",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (119_900, "119.9 s"), (120_000, "2 min"), (7_200_000, "2.0 h")],
)
def test_a_duration_is_in_the_unit_that_fits(capsys: Any, duration_ms: int, text: str) -> None:
    progress = Progress(PlainLines())
    progress.apply(event("a"))
    progress.apply(event("a", at_ms=duration_ms, ends=True))
    assert capsys.readouterr().err.splitlines()[-1] == f"a completed ({text})"


def test_on_a_terminal_what_runs_stands_in_the_last_line_until_it_ends() -> None:
    written = on_terminal(event("a"), event("b"), event("a", at_ms=5, ends=True))
    assert "… a, b" in written
    assert displayed(written) == ["✓ a  (5 ms)", ""]
    assert written.index("✓ a") < written.rindex("… b")


def test_on_a_terminal_a_failure_has_its_mark_and_its_reason() -> None:
    written = on_terminal(event("a"), event("a", ends=True, outputs=FAILURE))
    assert displayed(written) == ["✗ a  failed (0 ms) BROKEN: it is broken", ""]


def test_the_last_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    written = on_terminal(*(event(f"step-{number}") for number in range(50)))
    assert max(len(part) for part in written.split("\r\x1b[K")) == 19


def test_a_step_that_another_attempt_goes_over_again_is_not_shown_again(capsys: Any) -> None:
    progress = Progress(PlainLines())
    for each in (event("a"), event("a", ends=True)):
        progress.apply(each)
    shown = capsys.readouterr().err
    progress.apply(replace(event("a"), attempt=2))
    progress.apply(replace(event("a", ends=True), attempt=2))
    assert shown
    assert capsys.readouterr().err == ""


def test_steps_inside_of_loops_are_shown_up_to_a_number_and_those_of_the_scenario_always(capsys: Any) -> None:
    progress = Progress(PlainLines())
    for number in range(INNER_STEPS_SHOWN + 10):
        progress.apply(event("b", scope=f"sc_loop_{number}"))
    progress.apply(event("finish"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[INNER_STEPS_SHOWN - 2] == f"loop_{INNER_STEPS_SHOWN - 2}/b begins"
    assert lines[INNER_STEPS_SHOWN - 1].startswith("There are many steps")
    assert lines[INNER_STEPS_SHOWN:] == ["finish begins"]


def test_a_file_that_is_no_terminal_gets_plain_lines() -> None:
    assert isinstance(screen_for(io.StringIO()), PlainLines)
