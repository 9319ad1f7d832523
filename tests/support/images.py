"""Images for tests of a real server: scenarios, compiled on the spot, and the programs of ``tests/e2e/programs``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtara.client import Client
from runtara.compiler import CompilationInput, compile_scenario
from runtara.dsl.children import library_of

PROGRAMS = Path(__file__).parents[1] / "e2e" / "programs"


async def register_scenario(
    client: Client,
    scenario: Mapping[str, Any],
    directory: Path,
    *,
    name: str = "chain",
    tenant_id: str = "default",
    children: Mapping[str, Any] | None = None,
) -> str:
    """The id of the image."""
    compiled = compile_scenario(
        CompilationInput(
            tenant_id=tenant_id,
            scenario_id=name,
            version=1,
            execution_graph=dict(scenario),
            child_scenarios=library_of(children).children,
            output=directory / f"{name}.pyz",
        ),
        data_dir=directory / "compiler",
    )
    return (await client.register_image(compiled.binary_path, name=name)).image_id


async def register_program(client: Client, name: str) -> str:
    """The id of the image of a program."""
    return (await client.register_image(PROGRAMS / f"{name}.py", name=name)).image_id
