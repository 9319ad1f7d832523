"""Compile a scenario, and say everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtara.cli.app import EXIT_FAILED
from runtara.cli.output import emit_json, facts, table
from runtara.cli.session import debug_option, json_option
from runtara.errors import InvalidRequest, ScenarioInvalid
from runtara.limits import NAME_CHARACTERS_MAX

if TYPE_CHECKING:
    from runtara.compiler import CompilationResult

__all__ = ("compile_command", "compile_file", "name_of", "show_diagnostics", "show_refusal")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The artifact.")
@click.option("--tenant", "tenant_id", default="default", show_default=True, help="Whose scenario it is.")
@click.option("--scenario-id", help="What the scenario is called. [the file's name]")
@click.option("--version", type=click.IntRange(1), default=1, show_default=True, help="Of the scenario.")
@json_option
@debug_option
def compile_command(
    file: Path, output: Path, tenant_id: str, scenario_id: str | None, version: int, as_json: bool
) -> int:
    """Compile the scenario in FILE. All mistakes are listed at once; exit code 1 when there are any."""
    try:
        result = compile_file(file, output=output, tenant_id=tenant_id, scenario_id=scenario_id, version=version)
    except ScenarioInvalid as error:
        return show_refusal(error, as_json=as_json)
    if as_json:
        emit_json(_described(result))
        return 0
    show_diagnostics(result.warnings)
    facts([("artifact", result.binary_path), ("size_bytes", result.binary_size), ("digest", result.binary_checksum)])
    return 0


def compile_file(
    file: Path,
    *,
    output: Path | None = None,
    tenant_id: str = "default",
    scenario_id: str | None = None,
    version: int = 1,
) -> CompilationResult:
    """See ``compile_scenario``."""
    from runtara.compiler import CompilationInput, compile_scenario

    return compile_scenario(
        CompilationInput(
            tenant_id=tenant_id,
            scenario_id=scenario_id or name_of(file),
            version=version,
            execution_graph=_read(file),
            output=output,
        )
    )


def name_of(file: Path) -> str:
    """A name made of the file's: what a name cannot have becomes a dash."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "-", file.stem).lstrip(".")[:NAME_CHARACTERS_MAX] or "scenario"


def show_diagnostics(diagnostics: Sequence[Any]) -> None:
    """A table on stderr, with a hint under each that has one."""
    if diagnostics:
        rows = [(each["code"], each["path"], each["message"], each.get("hint")) for each in map(_plain, diagnostics)]
        table(("code", "where", "what", "hint"), rows, to_stderr=True)


def show_refusal(error: ScenarioInvalid, *, as_json: bool) -> int:
    """All that is wrong with the scenario; the exit code."""
    diagnostics = [_plain(each) for each in error.attributes.get("diagnostics", ())]
    if as_json:
        emit_json({"compiled": False, "diagnostics": diagnostics})
    else:
        show_diagnostics(diagnostics)
        click.echo(f"error: {error.message} [{error.code}]", err=True)
    return EXIT_FAILED


def _described(result: CompilationResult) -> dict[str, Any]:
    return {
        "compiled": True,
        "binary_path": str(result.binary_path),
        "binary_size": result.binary_size,
        "binary_checksum": result.binary_checksum,
        "has_side_effects": result.has_side_effects,
        "metadata": result.metadata,
        "diagnostics": [_plain(each) for each in result.warnings],
    }


def _plain(diagnostic: Any) -> dict[str, Any]:
    """A diagnostic as a mapping, as it also comes over the wire."""
    if isinstance(diagnostic, dict):
        return diagnostic
    return {name: getattr(diagnostic, name) for name in ("code", "severity", "path", "message", "hint")}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{str(file)!r} cannot be read: {error.strerror}") from error
