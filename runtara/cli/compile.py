"""Compile a scenario, and say everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtara.cli.app import EXIT_FAILED
from runtara.cli.children import child_option
from runtara.cli.output import emit_json, facts, note, table
from runtara.cli.session import json_option
from runtara.errors import InvalidRequest, ScenarioInvalid
from runtara.limits import NAME_CHARACTERS_MAX

if TYPE_CHECKING:
    from runtara.compiler import CompilationInput, CompilationResult
    from runtara.dsl.children import Child

__all__ = ("compilation_of", "compile_command", "compile_file", "name_of", "show_diagnostics", "show_refusal")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The artifact.")
@click.option("--check", is_flag=True, help="Only say what is wrong with it; exit code 0 when nothing is.")
@click.option("--emit-source", "source", metavar="PATH", help="Write the generated code here; - is stdout.")
@click.option("--tenant", "tenant_id", default="default", show_default=True, help="Whose scenario it is.")
@click.option("--scenario-id", help="What the scenario is called. [the file's name]")
@click.option("--version", type=click.IntRange(1), default=1, show_default=True, help="Of the scenario.")
@click.option("--debug", "is_debug", is_flag=True, help="Each step writes events, and breakpoints hold.")
@child_option
@json_option
def compile_command(
    *,
    file: Path,
    output: Path | None,
    check: bool,
    source: str | None,
    tenant_id: str,
    scenario_id: str | None,
    version: int,
    is_debug: bool,
    children: tuple[Child, ...],
    as_json: bool,
) -> int:
    """Compile the scenario in FILE. All mistakes are listed at once; exit code 1 when there are any."""
    if check:
        _refuse_with_check(output, source)
        return _check(file, children, as_json=as_json)
    if output is None and source is None:
        raise click.UsageError("say where the artifact shall be (-o), or --emit-source, or --check")
    compilation = compilation_of(
        file,
        output=output,
        tenant_id=tenant_id,
        scenario_id=scenario_id,
        version=version,
        is_debug=is_debug,
        children=children,
    )
    try:
        if source is not None:
            _emit_source(compilation, source)
        return 0 if output is None else _compile(compilation, as_json=as_json)
    except ScenarioInvalid as error:
        return show_refusal(error, as_json=as_json)


def _compile(compilation: CompilationInput, *, as_json: bool) -> int:
    from runtara.compiler import compile_scenario

    result = compile_scenario(compilation)
    if as_json:
        emit_json(_described(result))
        return 0
    show_diagnostics(result.warnings)
    facts([("artifact", result.binary_path), ("size_bytes", result.binary_size), ("digest", result.binary_checksum)])
    return 0


def compilation_of(
    file: Path,
    *,
    output: Path | None = None,
    tenant_id: str = "default",
    scenario_id: str | None = None,
    version: int = 1,
    is_debug: bool = False,
    children: tuple[Child, ...] = (),
) -> CompilationInput:
    """What ``compile_scenario`` wants of a file. Raises ``InvalidRequest`` when it cannot be read."""
    from runtara.compiler import CompilationInput

    return CompilationInput(
        tenant_id=tenant_id,
        scenario_id=scenario_id or name_of(file),
        version=version,
        execution_graph=_read(file),
        debug_mode=is_debug,
        child_scenarios=children,
        output=output,
    )


def compile_file(file: Path, *, is_debug: bool = False, children: tuple[Child, ...] = ()) -> CompilationResult:
    """See ``compile_scenario``; the artifact is in the cache."""
    from runtara.compiler import compile_scenario

    return compile_scenario(compilation_of(file, is_debug=is_debug, children=children))


# ---- checking, and looking at what is generated


def _refuse_with_check(output: Path | None, source: str | None) -> None:
    for name, value in (("-o", output), ("--emit-source", source)):
        if value is not None:
            raise click.UsageError(f"--check compiles nothing; leave out {name}")


def _check(file: Path, children: tuple[Child, ...], *, as_json: bool) -> int:
    from runtara.dsl import validate

    diagnostics = validate(_read(file), {child.name: child.document for child in children})
    has_errors = any(each.severity == "error" for each in diagnostics)
    if as_json:
        emit_json({"valid": not has_errors, "diagnostics": [_plain(each) for each in diagnostics]})
    else:
        show_diagnostics(diagnostics, to_stderr=False)
        note("the scenario has errors" if has_errors else "the scenario is valid")
    return EXIT_FAILED if has_errors else 0


def _emit_source(compilation: CompilationInput, target: str) -> None:
    from runtara.compiler import translate_scenario

    source = translate_scenario(compilation).emitted.source
    if target == "-":
        click.echo(source, nl=False)
        return
    try:
        Path(target).write_text(source)
    except OSError as error:
        raise InvalidRequest(f"{target!r} cannot be written: {error.strerror}") from error


def name_of(file: Path) -> str:
    """A name made of the file's: what a name cannot have becomes a dash."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "-", file.stem).lstrip(".")[:NAME_CHARACTERS_MAX] or "scenario"


def show_diagnostics(diagnostics: Sequence[Any], *, to_stderr: bool = True) -> None:
    """A table, with the hint of each that has one."""
    if diagnostics:
        rows = [(each["code"], each["path"], each["message"], each.get("hint")) for each in map(_plain, diagnostics)]
        table(("code", "where", "what", "hint"), rows, to_stderr=to_stderr)


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
