"""Checks what ruff does not: sizes that must not grow, tests that sleep, and promises left in the code.

Each exception is named below with its reason. One that is not needed any more is an error too: the lists only shrink.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = ("runtara", "tests", "benchmarks", "examples", "tools")

MODULE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 60

# Only modules that are tables or suites, read by looking things up; logic is never an exception.
LONG_MODULES: Final[Mapping[str, str]] = {
    "runtara/config.py": "one table of all settings",
    "runtara/protocol/messages.py": "one table of all messages",
    "runtara/testing/contracts/durable.py": "one contract",
    "runtara/testing/contracts/transport.py": "one contract",
}
LONG_FUNCTIONS: Final[Mapping[str, str]] = {}

# Programs that tests run in processes of their own, where to be slow is the point.
SLEEPERS: Final = ("tests/e2e/programs/", "tests/support/mini_boot.py")

# Tests of what only real time can show, as path:function.
REAL_TIME: Final[Mapping[str, str]] = {
    "tests/integration/test_embedded_database.py:eventually": "a database that starts tells nobody when it answers",
    "tests/integration/test_processes.py:until_checkpoint": "nobody announces checkpoints",
    "tests/integration/test_quic.py:test_a_request_takes_two_datagrams_though_the_answer_takes_a_while": (
        "an answer that takes as long as a commit"
    ),
    "tests/integration/test_quic.py:test_an_acknowledgement_does_not_wait_for_an_answer_that_never_comes": (
        "the timers are the library's own"
    ),
    "tests/integration/test_quic.py:test_pings_keep_a_silent_connection": "the idle timer is the library's own",
    "tests/integration/test_sdk_process.py:until": "another process does what is waited for",
    "tests/unit/transport/test_deadlines.py:test_after_the_close_nothing_is_due": "that nothing happens",
    "tests/unit/transport/test_peer.py:test_a_welcomed_client_is_not_closed_for_being_late": "that nothing happens",
}

SLEEPS: Final = ("time.sleep", "asyncio.sleep", "anyio.sleep")
_PROMISE: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")


def main() -> int:
    """Print every finding; 1 when there is one."""
    findings = list(check_all(ROOT))
    print(*findings, sep="\n", end="\n" if findings else "")
    print(f"tidy: {len(findings)} findings" if findings else "tidy")
    return 1 if findings else 0


def check_all(root: Path) -> Iterator[str]:
    """Every finding in the tree, as ``path:line: what``."""
    needed: set[str] = set()
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            yield from check_module(path.relative_to(root).as_posix(), path.read_text(), needed=needed)
    for name in sorted((LONG_MODULES.keys() | LONG_FUNCTIONS.keys() | REAL_TIME.keys()) - needed):
        yield f"tools/check_tidy.py: the exception {name} is not needed any more"


def check_module(name: str, source: str, *, needed: set[str]) -> Iterator[str]:
    """The findings of one module; exceptions that it needed are added to ``needed``."""
    tree = ast.parse(source, name)
    if name.startswith("runtara/"):
        yield from excused(sizes(name, source, tree), needed)
        yield from (f"{name}:{line}: {what}" for line, what in dishonesties(tree))
    if name.startswith("tests/") and not name.startswith(SLEEPERS):
        yield from excused(sleeps(name, tree), needed)
    for number, comment in comments(source):
        if _PROMISE.search(comment):
            yield f"{name}:{number}: a promise without an issue number; write it as TODO(#12)"


def sizes(name: str, source: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What is too long, as the name of its exception and the finding."""
    lines = source.count("\n")
    if lines > MODULE_LINES_MAX:
        yield name, f"{name}: {lines} lines, more than {MODULE_LINES_MAX}"
    for node in functions(tree):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield (
                f"{name}:{node.name}",
                f"{name}:{node.lineno}: {node.name} has {length} lines, more than {FUNCTION_LINES_MAX}",
            )


def excused(found: Iterable[tuple[str, str]], needed: set[str]) -> Iterator[str]:
    """Those without an exception."""
    for exception, finding in found:
        if exception in LONG_MODULES or exception in LONG_FUNCTIONS or exception in REAL_TIME:
            needed.add(exception)
        else:
            yield finding


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of them, methods and inner ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def outer_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Those of the module and of its classes, without what is defined in them."""
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return (node for body in bodies for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def dishonesties(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Code that pretends: an error that is swallowed, a method that is not there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and catches_everything(node) and is_pass(node.body):
            yield node.lineno, "an error of any kind is swallowed"
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node):
            yield node.lineno, "NotImplementedError; a seam is a Protocol"


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """``except:``, ``except Exception:`` and ``except BaseException:``."""
    return handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    )


def is_pass(body: list[ast.stmt]) -> bool:
    """Nothing is done, in one way or another."""
    return all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in body
    )


def sleeps(name: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Calls of ``time.sleep``, ``asyncio.sleep`` or ``anyio.sleep`` with anything but 0."""
    for function in outer_functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in SLEEPS and not is_zero(node):
                yield f"{name}:{function.name}", f"{name}:{node.lineno}: a test that sleeps; wait for an event"


def is_zero(call: ast.Call) -> bool:
    """To give way once is no sleep."""
    return [ast.unparse(argument) for argument in call.args] == ["0"]


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Line numbers and comments."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


if __name__ == "__main__":
    sys.exit(main())
