"""The codes of diagnostics, in the code and in ``schema/diagnostics.toml``, are the same and are all used."""

import re
import tomllib
from pathlib import Path

from runtara.dsl.diagnostics import Code, diagnose

ROOT = Path(__file__).parents[2]
WRITTEN = tomllib.loads((ROOT / "schema" / "diagnostics.toml").read_text())


def test_every_code_is_described_and_every_description_is_of_a_code() -> None:
    assert set(WRITTEN) == {code.value for code in Code}


def test_descriptions_are_sentences() -> None:
    for code, entry in WRITTEN.items():
        assert set(entry) == {"meaning", "hint"}, code
        assert all(text[0].isupper() and text.endswith(".") for text in entry.values()), code


def test_every_code_is_used() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "runtara").rglob("*.py"))
    used = set(re.findall(r"Code\.([A-Z_]+)", sources))
    assert {code.name for code in Code} == used


def test_the_letter_says_the_severity() -> None:
    severities = {code.value[0]: diagnose(code, "$", "x").severity for code in Code}
    assert severities == {"E": "error", "W": "warning"}
