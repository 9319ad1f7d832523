"""Limits whose tests have no better home: at the limit it passes, one past it is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtara.artifact import MANIFEST_NAME, ArtifactMalformed, read_manifest
from runtara.config import ServerConfig
from runtara.core.model import EventType, ResourceUsage
from runtara.core.persistence.base import AppendEvent, Outcome, OutcomeKind
from runtara.core.persistence.memory import MemoryPersistence
from runtara.core.persistence.postgres import Pool
from runtara.core.state import Change
from runtara.core.writer import Writer
from runtara.dsl import validate
from runtara.environment.exits import judge_crash
from runtara.environment.runner.base import Exit, ExitKind
from runtara.errors import Overloaded, RuntaraError
from runtara.ids import InstanceNo
from runtara.limits import (
    ATTEMPTS_WITHOUT_PROGRESS_MAX,
    BRANCHES_NESTED_MAX,
    DATABASE_STATEMENT_S_MAX,
    MANIFEST_BYTES_MAX,
    PENDING_INSTANCES_MAX,
    REQUEST_BYTES_IN_FLIGHT_MAX,
    SCENARIO_NESTING_MAX,
    WRITER_BATCH_MAX,
    WRITER_QUEUE_MAX,
)
from runtara.protocol.connection import Connection, RequestReceived, RequestRefused, Role
from runtara.protocol.messages import Hello, SaveCheckpoint, Welcome
from runtara.testing.clock import ManualClock

EVENT = AppendEvent(InstanceNo(1), 1, EventType.CUSTOM, "event", None)


def test_one_write_more_than_the_queue_holds_is_refused_with_a_time_to_come_back() -> None:
    writer = Writer(MemoryPersistence(clock=ManualClock()))
    for _ in range(WRITER_QUEUE_MAX):
        writer.submit(EVENT, _ignore)
    with pytest.raises(Overloaded) as refused:
        writer.submit(EVENT, _ignore)
    assert refused.value.retry_after_ms


async def test_one_write_more_than_a_batch_holds_goes_with_the_next() -> None:
    batches: list[int] = []

    class Counting(MemoryPersistence):
        async def write(self, batch: Any) -> Any:
            batches.append(len(batch))
            return [Outcome(OutcomeKind.DONE)] * len(batch)

    writer = Writer(Counting(clock=ManualClock()))
    for _ in range(WRITER_BATCH_MAX + 1):
        writer.submit(EVENT, _ignore)
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert batches == [WRITER_BATCH_MAX, 1]


def test_one_request_more_than_may_be_in_flight_by_bytes_is_refused() -> None:
    client: Connection[None] = Connection(Role.CLIENT)
    server: Connection[None] = Connection(Role.SERVER)
    server.receive(client.request(Hello((1,), "test"), context=None))
    client.receive(server.reply(1, Welcome(1, "test")))
    # Eight requests that nobody answers are within the limit, whatever their envelopes add; a ninth is not.
    state = bytes(REQUEST_BYTES_IN_FLIGHT_MAX // 8 - 1024)
    events = [
        event
        for number in range(9)
        for event in server.receive(client.request(SaveCheckpoint(str(number), state), context=None))
    ]
    assert [type(event) for event in events] == [RequestReceived] * 8 + [RequestRefused]
    assert isinstance(events[-1], RequestRefused)
    assert isinstance(events[-1].error, Overloaded)


def test_crashes_in_a_row_are_tried_again_up_to_the_limit() -> None:
    end = Exit(kind=ExitKind.EXITED, code=1, usage=ResourceUsage(), stderr_tail="")
    verdicts = [
        judge_crash(end, failures=failures, failures_max=ATTEMPTS_WITHOUT_PROGRESS_MAX).change
        for failures in (ATTEMPTS_WITHOUT_PROGRESS_MAX - 1, ATTEMPTS_WITHOUT_PROGRESS_MAX)
    ]
    assert verdicts == [Change.CRASH, Change.CRASH_LAST]


def test_limits_of_a_server_are_its_defaults() -> None:
    assert ServerConfig().max_attempts_without_progress == ATTEMPTS_WITHOUT_PROGRESS_MAX
    assert MemoryPersistence(clock=ManualClock())._pending_max == PENDING_INSTANCES_MAX


async def test_every_statement_has_a_deadline(pool: Pool) -> None:
    async with pool.connection() as connection:
        answer = await connection.execute("select extract(epoch from current_setting('statement_timeout')::interval)")
        assert await answer.fetchone() == (DATABASE_STATEMENT_S_MAX,)


@pytest.mark.parametrize(("levels", "codes"), [(SCENARIO_NESTING_MAX, []), (SCENARIO_NESTING_MAX + 1, ["E092"])])
def test_a_document_one_level_too_deep_is_refused(levels: int, codes: list[str]) -> None:
    # The value stands five levels below the document.
    value: Any = 1
    for _ in range(levels - 5):
        value = [value]
    mapping = {"x": {"valueType": "immediate", "value": value}}
    steps = {"end": {"stepType": "Finish", "id": "end", "inputMapping": mapping}}
    assert [found.code for found in validate({"steps": steps, "entryPoint": "end"})] == codes


@pytest.mark.parametrize(("depth", "is_refused"), [(BRANCHES_NESTED_MAX, False), (BRANCHES_NESTED_MAX + 1, True)])
def test_branches_one_level_too_deep_are_refused(depth: int, is_refused: bool) -> None:
    condition = {"type": "value", "valueType": "immediate", "value": True}
    steps: dict[str, Any] = {"end": {"stepType": "Finish", "id": "end"}}
    plan = []
    for level in range(depth):
        name, after = f"c{level}", f"c{level + 1}" if level + 1 < depth else "end"
        steps[name] = {"stepType": "Conditional", "id": name, "condition": condition}
        steps[f"no{level}"] = {"stepType": "Finish", "id": f"no{level}"}
        plan += [
            {"fromStep": name, "toStep": after, "label": "true"},
            {"fromStep": name, "toStep": f"no{level}", "label": "false"},
        ]
    found = validate({"steps": steps, "entryPoint": "c0", "executionPlan": plan})
    assert any(diagnostic.code == "E092" for diagnostic in found) == is_refused, found


@pytest.mark.parametrize(("excess", "message"), [(0, "manifest"), (1, "larger than")])
def test_a_manifest_one_byte_too_long_is_refused(tmp_path: Path, excess: int, message: str) -> None:
    text = json.dumps({"kind": "x"})
    path = tmp_path / "artifact.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST_NAME, text.ljust(MANIFEST_BYTES_MAX + excess))
    with pytest.raises(ArtifactMalformed, match=message):
        read_manifest(path)


def _ignore(outcome: Outcome | RuntaraError) -> None:
    """Nobody waits."""
