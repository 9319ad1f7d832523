"""From a generated module to a finished instance."""

from __future__ import annotations

import sys
from importlib import import_module
from random import Random
from types import ModuleType
from typing import Any

from runtara.agents import Registry, Resources, registry
from runtara.artifact import MANIFEST_NAME, Manifest, check_runtime, decode_manifest
from runtara.clock import Clock, SystemClock
from runtara.config import ScenarioConfig
from runtara.errors import RuntaraError, UnsupportedVersion
from runtara.limits import OUTPUT_BYTES_MAX
from runtara.sdk.base import Durable, InstanceFailed
from runtara.stdlib.execution import Execution
from runtara.stdlib.failures import failed
from runtara.stdlib.inputs import read_input
from runtara.stdlib.memory import limit_memory
from runtara.stdlib.run import Place, Run
from runtara.stdlib.schemas import fitting
from runtara.stdlib.steps import Scenario
from runtara.stdlib.values import ValueFailed, encode_value
from runtara.stdlib.volatile import VolatileDurable

__all__ = ("execute", "main")


async def execute(
    module: ModuleType,
    durable: Durable,
    *,
    agents: Registry | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
    connection_url: str | None = None,
) -> bytes:
    """Run a generated module, and return its output as JSON.

    Raises:
        InstanceFailed: the scenario failed, with a structured error.
        Interruption: the attempt has to end here.
        RuntaraError: the engine could not be reached, or refused; nothing is known about the scenario.
    """
    try:
        async with Resources() as resources:
            scenario: Scenario = module.SCENARIO
            execution = Execution(
                durable=durable,
                volatile=VolatileDurable(durable),
                agents=agents or registry(),
                clock=clock or SystemClock(),
                random=random or Random(),
                resources=resources,
                scenario=scenario,
                connection_url=connection_url,
            )
            given = read_input(durable.info, scenario)
            place = Place(scenario=scenario, waits=durable, is_durable=scenario.durable)
            result = await module.main(Run(execution, place, given.data, given.variables))
            output = _output(fitting(result, scenario.output_schema, "the result", "OUTPUT_INVALID"))
            await durable.flush()
            return output
    except RuntaraError:
        raise
    except Exception as error:
        raise failed(error, module) from error


def _output(value: Any) -> bytes:
    output = encode_value(value)
    if len(output) > OUTPUT_BYTES_MAX:
        raise ValueFailed("OUTPUT_TOO_LARGE", f"the result has {len(output)} bytes, and {OUTPUT_BYTES_MAX} are allowed")
    return output


def main(module_name: str) -> None:
    """The entry point of an artifact: run its generated module as the instance that this process was launched for.

    The module is imported after the runtime was found to be the right one.
    """
    # Only a launched program has a connection to make; tests and the compiler import this package without one.
    from runtara.sdk.program import run_program

    async def entry(durable: Durable) -> bytes:
        manifest = _read_manifest()
        limit_memory(manifest.memory_tier)
        url = ScenarioConfig.from_env().connection_service_url or manifest.connection_service_url
        return await execute(import_module(module_name), durable, connection_url=url)

    run_program(entry)


def _read_manifest() -> Manifest:
    """The manifest of this artifact. Raises ``InstanceFailed`` when it was compiled for another runtime."""
    loader: Any = sys.modules["__main__"].__loader__
    try:
        manifest = decode_manifest(loader.get_data(MANIFEST_NAME))
        check_runtime(manifest)
        return manifest
    except UnsupportedVersion as error:
        data = {"code": error.code, "message": error.message, "category": "permanent", "severity": "critical"}
        raise InstanceFailed(error.message, error=encode_value(data)) from error
