"""Every setting: its value, where the value comes from, and what would be right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import click

from runtara.cli.app import EXIT_USAGE
from runtara.cli.output import emit_json, note, table
from runtara.cli.session import debug_option, json_option
from runtara.config import REFUSED, ROLES, Setting, look_up, settings_of, unknown_variables

__all__ = ("config_command",)


@click.command()
@json_option
@debug_option
def config_command(as_json: bool) -> int:
    """Show every setting, its value and where it comes from. Exit code 2 when one cannot be used."""
    rows = [*_settings(), *_refused()]
    if as_json:
        emit_json(rows)
    else:
        columns = ("name", "value", "origin", "default", "expects", "roles")
        table(columns, ([row[column] for column in columns] for row in rows))
    problems = [row["problem"] for row in rows if row["problem"]]
    for problem in problems:
        note(f"problem: {problem}")
    for name, nearest in unknown_variables():
        note(f"warning: {name} means nothing{f'; is it {nearest}?' if nearest else ''}")
    return EXIT_USAGE if problems else 0


def _settings() -> Iterator[dict[str, Any]]:
    roles: defaultdict[str, list[str]] = defaultdict(list)
    known: dict[str, Setting] = {}
    for role, role_table in ROLES.items():
        for _, row in settings_of(role_table):
            roles[row.name].append(role)
            known.setdefault(row.name, row)
    for name, row in known.items():
        yield _described(row, " ".join(roles[name]))


def _described(row: Setting, roles: str) -> dict[str, Any]:
    found = look_up(row)
    default = row.default if row.shown_default is None else row.shown_default
    return {
        "name": row.name,
        "value": found.value if found.is_set else default,
        "origin": "environment" if found.is_set else "required" if row.required else "default",
        "default": default,
        "unit": row.kind.unit,
        "minimum": row.kind.minimum,
        "maximum": row.kind.maximum,
        "expects": row.kind.expects,
        "meaning": row.meaning,
        "roles": roles,
        "problem": found.problem,
    }


def _refused() -> Iterator[dict[str, Any]]:
    for row in REFUSED:
        yield {
            "name": row.name,
            "value": None,
            "origin": "environment" if look_up(row).is_set else "default",
            "default": None,
            "unit": "",
            "minimum": None,
            "maximum": None,
            "expects": "nothing: it is refused",
            "meaning": f"{row.reason}. {row.instead}",
            "roles": " ".join(row.roles),
            "problem": look_up(row).problem,
        }
