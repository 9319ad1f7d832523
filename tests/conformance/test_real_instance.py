"""A sample of the conformance suite on a server: each run in a process of its own, with the same end as in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtara.client import Client, InstanceHandle
from tests.conformance.form import Case, Run, read_cases
from tests.conformance.play import End, check_end, check_requests, graph_of, placed, services_of
from tests.support.images import register_scenario
from tests.support.server import serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

REAL = [case for case in read_cases().values() if case.real]
ENDS_WITHIN_S = 60


async def test_a_sample_of_the_cases_ends_on_a_server_as_it_does_in_memory(tmp_path: Path) -> None:
    assert len(REAL) >= 10
    assert not [case.id for case in REAL for run in case.runs if run.agents or run.llm or run.preloaded]
    async with serve(tmp_path / "data") as server, Client.local(server.data_dir) as client:
        for case in REAL:
            for number, run in enumerate(case.runs, 1):
                name = f"{case.id}-{number}"
                # pytest shows the last one with a failure.
                print(name)
                await check_on_server(client, case, run, name, tmp_path)


async def check_on_server(client: Client, case: Case, run: Run, name: str, directory: Path) -> None:
    """Returns when the run has ended there as it should."""
    async with services_of(run) as services:
        graph = placed(graph_of(case, run), services)
        image = await register_scenario(client, graph, directory, name=name, children=case.children or None)
        given = {"data": placed(run.data, services), "variables": run.variables}
        handle = await client.start_instance(image, input=given)
        for signal in run.signals:
            await handle.send_custom_signal(signal.name, signal.payload)
        check_end(run.expect, await end_on_server(client, handle))
        check_requests(run.expect, services)


async def end_on_server(client: Client, handle: InstanceHandle) -> End:
    """How the instance has ended."""
    instance = await handle.wait(timeout_s=ENDS_WITHIN_S)
    keys = sorted([checkpoint.key async for checkpoint in client.checkpoints(handle.instance_id)])
    return End(status=instance.status, output=instance.output, error=instance.error, keys=keys)
