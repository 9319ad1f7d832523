"""Scenarios as documents: their schema, their picture, and what a new version of the language does to them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from runtara.cli.app import EXIT_FAILED
from runtara.cli.compile import show_refusal
from runtara.cli.output import emit_json, note, table
from runtara.cli.session import debug_option, json_option
from runtara.errors import InvalidRequest, ScenarioInvalid

if TYPE_CHECKING:
    from runtara.dsl.compatibility import CompatibilityReport

__all__ = ("scenario_command",)

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def scenario_command() -> None:
    """Look at scenarios and at their language."""


@scenario_command.command("schema")
@click.option("--agents", is_flag=True, help="What the agents of this installation can do, instead.")
@debug_option
def schema(agents: bool) -> None:
    """Print the JSON Schema of scenarios, with what editors want to know about the types of steps."""
    if agents:
        emit_json(_agents())
    else:
        click.echo((files("runtara") / "_schema" / "scenario.schema.json").read_text(), nl=False)


@scenario_command.command("graph")
@click.argument("file", type=_file)
@click.option("--format", "kind", type=click.Choice(["mermaid", "svg"]), default="mermaid", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[stdout]")
@json_option
@debug_option
def graph(file: Path, kind: str, output: Path | None, as_json: bool) -> int:
    """Draw the scenario in FILE. One with mistakes is drawn as far as it can be read."""
    from runtara.dsl.drawing import picture_of, to_mermaid, to_svg

    try:
        picture = picture_of(file.read_bytes())
    except ScenarioInvalid as error:
        return show_refusal(error, as_json=as_json)
    text = to_svg(picture) if kind == "svg" else to_mermaid(picture)
    if output is not None:
        _write(output, text)
    if as_json:
        emit_json({"format": kind} | ({"graph": text} if output is None else {"path": str(output)}))
    elif output is None:
        click.echo(text, nl=False)
    else:
        note(f"written to {output}")
    return 0


@scenario_command.command("compat")
@click.argument("old", type=_file)
@click.argument("new", type=_file)
@json_option
@debug_option
def compat(old: Path, new: Path, as_json: bool) -> int:
    """Compare two specifications: of the language, or of agents. Exit code 1 when scenarios could break.

    OLD and NEW are what `runtara scenario schema` prints, both with or both without --agents.
    """
    from runtara.dsl.compatibility import compare_specifications

    report = compare_specifications(_decoded(old), _decoded(new))
    if as_json:
        emit_json({"compatible": report.is_compatible} | msgspec.to_builtins(report))
    else:
        _show(report)
    return 0 if report.is_compatible else EXIT_FAILED


def _show(report: CompatibilityReport) -> None:
    groups = {
        "breaking": report.breaking_changes,
        "warning": report.warnings,
        "compatible": report.compatible_changes,
    }
    rows = [(word, each.kind, each.path, each.message) for word, found in groups.items() for each in found]
    if rows:
        table(("change", "kind", "where", "what"), rows)
    note("compatible" if report.is_compatible else "scenarios could break")


def _agents() -> Any:
    from runtara.dsl.catalog import installed_catalog

    catalog = installed_catalog()
    found = (catalog.find_agent(agent_id) for agent_id in catalog.agent_ids())
    return {"agents": [msgspec.to_builtins(agent) for agent in found if agent is not None]}


def _decoded(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OSError) as error:
        raise InvalidRequest(f"{str(path)!r} is not JSON: {error}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InvalidRequest(f"{str(path)!r} cannot be written: {error.strerror}") from error
