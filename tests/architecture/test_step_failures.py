"""The codes with which steps fail, in ``runtara/stdlib`` and in ``schema/step_failures.toml``, are the same."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from runtara.dsl.conditions import OPERATORS
from runtara.dsl.step_types import STEP_TYPES

ROOT = Path(__file__).parents[2]
WRITTEN = tomllib.loads((ROOT / "schema" / "step_failures.toml").read_text())
# Functions and methods that take the code of a failure among their arguments; constants elsewhere are something else.
RAISERS = {"AgentError", "ValueFailed", "fitting", "retold", "tried_within", "_told"}


def codes() -> Iterator[str]:
    for path in (ROOT / "runtara" / "stdlib").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in RAISERS:
                yield from (code for argument in node.args for code in constants(argument))
            elif is_code_choice(node):
                yield from constants(node)


def is_code_choice(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code"


def constants(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and is_code(each.value):
            yield each.value


def is_code(text: str) -> bool:
    return text.isupper() and text.replace("_", "").isalpha() and text not in OPERATORS


def test_every_code_is_described_and_every_description_is_of_a_code() -> None:
    assert set(WRITTEN) == set(codes())


def test_descriptions_are_sentences_about_steps_that_exist() -> None:
    for code, entry in WRITTEN.items():
        assert set(entry) == {"steps", "category", "meaning"}, code
        assert set(entry["steps"]) <= set(STEP_TYPES), code
        assert entry["meaning"][0].isupper(), code
        assert entry["meaning"].endswith((".", ".)")), code
