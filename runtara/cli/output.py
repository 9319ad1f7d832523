"""How results look: aligned tables for people, one JSON document for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

import click
import msgspec

__all__ = ("emit_json", "emit_line", "facts", "note", "shown", "table")


def emit_json(document: Any) -> None:
    """Exactly one JSON document."""
    click.echo(msgspec.json.format(_encode(document), indent=2))


def emit_line(document: Any) -> None:
    """One JSON document on one line: what follows is another."""
    click.echo(_encode(document))


def _encode(document: Any) -> bytes:
    return msgspec.json.encode(document, enc_hook=_other)


def _other(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def note(text: str) -> None:
    """Something for people, beside the data."""
    click.echo(text, err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, to_stderr: bool = False) -> None:
    """Aligned columns under their names."""
    cells = [[column.upper() for column in columns], *([shown(value) for value in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), err=to_stderr
        )


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """One fact per line; absent ones are left out."""
    told = [(name, shown(value)) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        click.echo(f"{name.ljust(width)}  {value}")


def shown(value: Any) -> str:
    """A value as a person wants to see it, on one line."""
    match value:
        case None:
            return "-"
        case str() | PurePath():
            return " ".join(str(value).split()) or "-"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%SZ")
        case timedelta():
            return f"{value.total_seconds():.1f} s"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case bytes():
            return f"{len(value)} bytes"
        case _:
            return _encode(value).decode()
