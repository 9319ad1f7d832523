"""For each limit the tests that go one past it; and those tests that have no better home.

``ONE_PAST`` is checked by ``tests/architecture/test_limits.py``: a limit without a test fails there.
"""

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
from runtara.core.persistence.postgres.errors import translated
from runtara.core.state import Change
from runtara.core.writer import Writer
from runtara.dsl import validate
from runtara.environment.exits import judge_crash
from runtara.environment.runner.base import Exit, ExitKind
from runtara.errors import Overloaded, RuntaraError, Unavailable
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

_DURABLE = "runtara/testing/contracts/durable.py"
_TRANSPORT = "runtara/testing/contracts/transport.py"
_CLIENT = "tests/unit/client/test_client.py"
_MANAGEMENT = "tests/integration/test_management.py"
_INSTANCES = "tests/integration/test_instance_limits.py"
_IMAGES = "tests/unit/environment/test_images.py"
_CHECKS = "tests/unit/environment/test_checks.py"
_WRITER = "tests/unit/core/test_writer.py"
_BAD_INPUT = "tests/unit/dsl/test_bad_input.py"
_TEMPLATES = "tests/unit/dsl/test_templates.py"
_HERE = "tests/unit/test_limits.py"

ONE_PAST: dict[str, tuple[str, ...]] = {
    "ATTEMPTS_WITHOUT_PROGRESS_MAX": (f"{_HERE}::test_crashes_in_a_row_are_tried_again_up_to_the_limit",),
    "BRANCHES_NESTED_MAX": (f"{_HERE}::test_branches_one_level_too_deep_are_refused",),
    "CHECKPOINTS_PER_REQUEST_MAX": (
        f"{_INSTANCES}::test_one_byte_too_many_is_refused_with_the_limit_and_the_program_goes_on",
    ),
    "CHECKPOINT_BYTES_MAX": (
        f"{_DURABLE}::test_a_state_over_the_limit_is_refused_and_nothing_stored",
        f"{_INSTANCES}::test_one_byte_too_many_is_refused_with_the_limit_and_the_program_goes_on",
        "tests/unit/native/test_api.py::test_a_state_of_the_largest_size_is_sealed_and_one_byte_more_is_refused",
    ),
    "CHECKPOINT_KEY_BYTES_MAX": (
        f"{_DURABLE}::test_a_bad_key_is_refused",
        f"{_INSTANCES}::test_one_character_too_many_is_no_key_and_no_name",
    ),
    "CURSOR_CHARACTERS_MAX": (f"{_CHECKS}::test_a_limit_holds_and_says_what_it_is",),
    "DATABASE_STATEMENT_S_MAX": (f"{_HERE}::test_a_statement_that_takes_longer_than_allowed_is_ended",),
    "DIAGNOSTICS_MAX": (f"{_BAD_INPUT}::test_errors_beyond_the_limit_are_left_out",),
    "ERROR_BYTES_MAX": (
        f"{_DURABLE}::test_an_output_over_the_limit_is_refused_and_the_attempt_goes_on",
        f"{_INSTANCES}::test_one_byte_too_many_is_refused_with_the_limit_and_the_program_goes_on",
    ),
    "EVENT_PAYLOAD_BYTES_MAX": (
        f"{_DURABLE}::test_an_event_payload_over_the_limit_is_refused",
        f"{_INSTANCES}::test_one_byte_too_many_is_refused_with_the_limit_and_the_program_goes_on",
    ),
    "EXECUTION_TIMEOUT_S_MAX": (f"{_CHECKS}::test_a_limit_holds_and_says_what_it_is",),
    "FRAME_BYTES_MAX": (
        f"{_TRANSPORT}::test_a_message_over_the_frame_limit_does_not_leave",
        f"{_TRANSPORT}::test_an_answer_over_the_frame_limit_becomes_an_error",
        f"{_TRANSPORT}::test_a_malformed_frame_ends_the_connection",
    ),
    "GRAPHS_NESTED_MAX": (f"{_BAD_INPUT}::test_children_one_level_too_deep",),
    "GREETING_BYTES_MAX": (f"{_TRANSPORT}::test_a_hello_over_the_greeting_limit_ends_the_connection",),
    "GUEST_QUEUE_BYTES_MAX": ("tests/unit/sdk/test_outbox.py::test_the_queue_has_an_end",),
    "IMAGE_BYTES_MAX": (f"{_IMAGES}::test_one_byte_past_the_limit_is_refused_before_it_is_sent",),
    "IMAGE_METADATA_BYTES_MAX": (f"{_CHECKS}::test_a_limit_holds_and_says_what_it_is",),
    "INPUT_BYTES_MAX": (f"{_MANAGEMENT}::test_one_past_a_limit_is_refused_with_the_limit",),
    "LOG_BYTES_MAX": (
        f"{_MANAGEMENT}::test_one_past_a_limit_is_refused_with_the_limit",
        "tests/unit/environment/test_logs.py::test_one_answer_is_bounded",
    ),
    "MANAGEMENT_REQUESTS_MAX": (f"{_MANAGEMENT}::test_too_many_requests_of_all_connections_are_told_to_come_back",),
    "MANAGEMENT_REQUESTS_PER_CONNECTION_MAX": (
        f"{_MANAGEMENT}::test_too_many_requests_of_one_connection_are_told_to_come_back",
        f"{_CLIENT}::test_more_requests_than_the_server_takes_at_once_wait_for_their_turn",
    ),
    "MANIFEST_BYTES_MAX": (f"{_HERE}::test_a_manifest_one_byte_too_long_is_refused",),
    "NAME_CHARACTERS_MAX": (
        f"{_CHECKS}::test_a_limit_holds_and_says_what_it_is",
        f"{_INSTANCES}::test_one_character_too_many_is_no_key_and_no_name",
    ),
    "OUTPUT_BYTES_MAX": (
        f"{_DURABLE}::test_an_output_over_the_limit_is_refused_and_the_attempt_goes_on",
        f"{_INSTANCES}::test_one_byte_too_many_is_refused_with_the_limit_and_the_program_goes_on",
    ),
    "PAGE_ROWS_DEFAULT": (f"{_CLIENT}::test_one_row_more_than_a_page_has_is_on_the_next_one",),
    "PAGE_ROWS_MAX": (
        f"{_CHECKS}::test_a_limit_holds_and_says_what_it_is",
        f"{_MANAGEMENT}::test_one_past_a_limit_is_refused_with_the_limit",
    ),
    "PENDING_INSTANCES_MAX": (
        f"{_HERE}::test_limits_of_a_server_are_its_defaults",
        # With a smaller number: so many instances take too long to make.
        "runtara/testing/contracts/persistence/instances.py::test_a_tenants_queue_has_an_end",
    ),
    "PREFETCH_BYTES_MAX": (
        f"{_INSTANCES}::test_a_page_of_checkpoints_is_bounded_whatever_is_asked_for",
        f"{_MANAGEMENT}::test_events_are_read_in_order_however_large_they_are",
    ),
    "REQUESTS_IN_FLIGHT_MAX": (
        f"{_TRANSPORT}::test_one_request_too_many_is_refused_where_it_is_asked",
        f"{_TRANSPORT}::test_one_request_too_many_is_refused_where_it_arrives",
    ),
    "REQUEST_BYTES_IN_FLIGHT_MAX": (f"{_HERE}::test_one_request_more_than_may_be_in_flight_by_bytes_is_refused",),
    "RETRY_DELAY_MS_MAX": ("tests/unit/stdlib/test_retry_policy.py::test_the_delay_has_a_cap",),
    "SCENARIO_BYTES_MAX": (f"{_BAD_INPUT}::test_a_document_one_byte_too_large",),
    "SCENARIO_EDGES_MAX": (f"{_BAD_INPUT}::test_one_edge_more_than_allowed",),
    "SCENARIO_NESTING_MAX": (f"{_HERE}::test_a_document_one_level_too_deep_is_refused",),
    "SCENARIO_STEPS_MAX": ("tests/unit/dsl/test_diagnostics_table.py::test_one_step_more_than_allowed",),
    "SCRIPT_BYTES_MAX": ("tests/unit/environment/test_artifacts.py::test_what_python_cannot_run_is_refused",),
    "SIGNAL_PAYLOAD_BYTES_MAX": (f"{_MANAGEMENT}::test_one_past_a_limit_is_refused_with_the_limit",),
    "START_ENV_BYTES_MAX": (f"{_CHECKS}::test_a_limit_holds_and_says_what_it_is",),
    "STOP_GRACE_S_MAX": (f"{_MANAGEMENT}::test_one_past_a_limit_is_refused_with_the_limit",),
    "STEP_EVENT_VALUE_BYTES_MAX": (
        "tests/unit/stdlib/test_trace.py::test_a_value_is_shown_whole_to_the_limit_and_cut_one_past_it",
    ),
    "TEMPLATE_CHARACTERS_MAX": (f"{_TEMPLATES}::test_a_template_has_so_many_characters_and_not_one_more",),
    "TEMPLATE_OUTPUT_CHARACTERS_MAX": (f"{_TEMPLATES}::test_a_text_has_so_many_characters_and_not_one_more",),
    "TEMPLATE_WORK_MAX": (f"{_TEMPLATES}::test_a_rendering_does_so_much_work_and_not_one_unit_more",),
    "TEXT_CHARACTERS_MAX": (f"{_CHECKS}::test_a_limit_holds_and_says_what_it_is",),
    "UNSENT_BYTES_MAX": ("tests/unit/transport/test_peer.py::test_a_peer_that_does_not_read_is_given_up",),
    "UPLOADS_MAX": (f"{_IMAGES}::test_one_upload_too_many_has_to_come_back",),
    "UPLOADS_PER_CONNECTION_MAX": (f"{_MANAGEMENT}::test_too_many_uploads_of_one_connection_are_refused",),
    "UPLOAD_CHUNK_BYTES_MAX": ("tests/unit/environment/test_uploads.py::test_a_wrong_chunk_ends_the_upload",),
    "WATCHES_PER_CONNECTION_MAX": (f"{_MANAGEMENT}::test_too_many_watches_of_one_connection_are_refused",),
    "WRITER_BATCH_BYTES_MAX": (f"{_WRITER}::test_bytes_count_too",),
    "WRITER_BATCH_MAX": (f"{_HERE}::test_one_write_more_than_a_batch_holds_goes_with_the_next",),
    "WRITER_QUEUE_BYTES_MAX": (f"{_WRITER}::test_bytes_count_too",),
    "WRITER_QUEUE_MAX": (f"{_HERE}::test_one_write_more_than_the_queue_holds_is_refused_with_a_time_to_come_back",),
}

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


@pytest.mark.slow
async def test_a_statement_that_takes_longer_than_allowed_is_ended(pool: Pool) -> None:
    async with pool.connection() as connection:
        with pytest.raises(Unavailable, match="statement timeout"), translated():
            await connection.execute("select pg_sleep(%s)", (DATABASE_STATEMENT_S_MAX + 1,))
        assert (await (await connection.execute("select 1")).fetchone()) == (1,)


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
