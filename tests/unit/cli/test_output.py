import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtara.cli.output import emit_json, emit_line, facts, shown, table


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    at: datetime


AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_table_is_aligned_under_its_names(capsys):
    table(("name", "attempt"), [("a", 1), ("longer", 20), (None, 3)])
    assert capsys.readouterr().out.splitlines() == ["NAME    ATTEMPT", "a       1", "longer  20", "-       3"]


def test_an_empty_table_has_its_names(capsys):
    table(("name",), [])
    assert capsys.readouterr().out == "NAME\n"


def test_absent_facts_are_left_out(capsys):
    facts([("status", "running"), ("error", None), ("attempt", 0)])
    assert capsys.readouterr().out.splitlines() == ["status   running", "attempt  0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), ("", "-"), ("two\nlines", "two lines"), (AT, "2026-01-02 03:04:05Z"), (True, "yes"), (1.5, "1.5"),
        (b"abc", "3 bytes"), ({"a": [1]}, '{"a":[1]}'), (Path("/x"), "/x"),
    ],
)  # fmt: skip
def test_a_value_is_shown_on_one_line(value, text):
    assert shown(value) == text


def test_a_document_is_one_json_document(capsys):
    emit_json([Row("a", AT)])
    assert json.loads(capsys.readouterr().out) == [{"name": "a", "at": "2026-01-02T03:04:05Z"}]


def test_a_line_is_one_line(capsys):
    emit_line({"a": {"b": "x\ny"}})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": {"b": "x\ny"}}
