"""Writes the files that are made from tables in the code: ``make schema``; with ``--verify``, ``make check``.

Verifying writes nothing and fails when a file is not what its table says.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from runtara import config  # noqa: E402 - found by the line above
from runtara import limits as limits_module  # noqa: E402
from runtara.core.state import RULES, Change, Rule  # noqa: E402
from runtara.dsl.drawing import picture_of, to_svg  # noqa: E402
from tools.reference.agents import agents_page  # noqa: E402
from tools.reference.blocks import markdown_table  # noqa: E402
from tools.reference.language import language_page  # noqa: E402
from tools.reference.schema import schema_text  # noqa: E402

MADE_BY = "<!-- Made by tools/generate.py; `make schema` makes it again. -->"


def main(arguments: list[str]) -> int:
    """Write or verify all files; 1 when one was stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verify", action="store_true", help="write nothing, fail when a file is stale")
    verify = parser.parse_args(arguments).verify
    stale = [path for path, make in FILES.items() if not is_current(ROOT / path, make())]
    for path in stale:
        if not verify:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(FILES[path]())
        print(f"{path} {'is stale: run make schema' if verify else 'written'}")
    return 1 if stale and verify else 0


def is_current(path: Path, text: str) -> bool:
    """True when the file has exactly this text."""
    return path.exists() and path.read_text() == text


# ---- the life of an instance


def lifecycle() -> str:
    """The state table as a picture and as a table."""
    arrows = [
        f"    {source.value} --> {rule.target.value}: {change.value}"
        for change, rule in RULES.items()
        for source in sorted(rule.sources)
    ]
    rows = [describe(change, rule) for change, rule in RULES.items()]
    head = ("change", "from", "to", "reason", "event", "wake", "by the attempt")
    parts = (
        MADE_BY,
        "# The life of an instance",
        "The table in `runtara/core/state.py` decides what may follow what; this page only shows it.",
        "\n".join(("```mermaid", "stateDiagram-v2", "    [*] --> pending", *arrows, "```")),
        markdown_table(head, rows),
    )
    return "\n\n".join(parts) + "\n"


def describe(change: Change, rule: Rule) -> Iterable[str]:
    """One row."""
    needs = f" ({', '.join(sorted(rule.source_reasons))})" if rule.source_reasons else ""
    yield from (f"`{change.value}`", ", ".join(sorted(rule.sources)) + needs, rule.target.value)
    yield from (rule.reason.value if rule.reason else "", rule.event.value, rule.wake.value)
    yield "yes" if rule.by_attempt else ""


# ---- limits


def limits() -> str:
    """Each limit with its number and the comment above it."""
    source = inspect.getsource(limits_module)
    lines = source.splitlines()
    rows = [
        (f"`{node.target.id}`", f"{getattr(limits_module, node.target.id):,}", reason_above(lines, node.lineno))
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id in limits_module.__all__
    ]
    intro = "Units are the last word of a name, before MAX. What would pass a limit is refused, and nothing is done."
    return "\n\n".join((MADE_BY, "# Limits", intro, markdown_table(("limit", "number", "why"), rows))) + "\n"


def reason_above(lines: list[str], line_number: int) -> str:
    """The comment that stands right above a line (counted from 1)."""
    end = line_number - 1
    start = end
    while lines[start - 1].startswith("# "):
        start -= 1
    return " ".join(line.removeprefix("# ") for line in lines[start:end])


# ---- settings and errors


def settings() -> str:
    """Each variable of each role, and those that are refused."""
    sections = [f"## {role}\n\n{settings_of_role(role_table)}" for role, role_table in config.ROLES.items()]
    refused = [(f"`{row.name}`", f"{row.reason}. {row.instead}") for row in config.REFUSED]
    sections.append("## Refused\n\n" + markdown_table(("variable", "why, and what replaces it"), refused))
    intro = "Read in one place, `runtara/config.py`; `runtara config` shows what holds on a machine."
    return "\n\n".join((MADE_BY, "# Settings", intro, *sections)) + "\n"


def settings_of_role(role_table: type) -> str:
    """One table."""
    rows = [
        (f"`{row.name}`", default_of(row), row.kind.expects, row.meaning) for _, row in config.settings_of(role_table)
    ]
    return markdown_table(("variable", "default", "must be", "meaning"), rows)


def default_of(row: config.Setting) -> str:
    """As a person would say it."""
    if row.required:
        return "required"
    return row.shown_default or ("" if row.default is None else f"`{row.default}`")


def errors() -> str:
    """``schema/errors.toml`` for reading."""
    codes: Mapping[str, Mapping[str, object]] = tomllib.loads((ROOT / "schema" / "errors.toml").read_text())
    rows = [
        (f"`{code}`", str(one["family"]), "yes" if one["retryable"] else "", str(one["meaning"]), str(one["action"]))
        for code, one in codes.items()
    ]
    head = ("code", "family", "retry", "meaning", "what to do")
    return "\n\n".join((MADE_BY, "# Errors", markdown_table(head, rows))) + "\n"


def diagnostics() -> str:
    """``schema/diagnostics.toml`` for reading."""
    codes: Mapping[str, Mapping[str, str]] = tomllib.loads((ROOT / "schema" / "diagnostics.toml").read_text())
    head = ("code", "meaning", "what to do")
    intro = (
        "What can be wrong with a scenario. All findings of a document come at once, each with its place. "
        "`E` forbids the compilation, `W` does not. Codes are stable and never reused."
    )
    return "\n\n".join((MADE_BY, "# Diagnostics", intro, markdown_table(head, diagnostic_rows(codes)))) + "\n"


def diagnostic_rows(codes: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    """One row for each, errors first."""
    for code, one in sorted(codes.items()):
        yield f"`{code}`", one["meaning"], one["hint"]


def picture() -> str:
    """What `runtara scenario graph` draws of the example in the README."""
    document = (ROOT / "examples" / "scenarios" / "invoice-approval.json").read_bytes()
    return to_svg(picture_of(document))


FILES: Mapping[str, Callable[[], str]] = {
    "docs/pictures/invoice-approval.svg": picture,
    "docs/reference/agents.md": lambda: agents_page(MADE_BY),
    "docs/reference/diagnostics.md": diagnostics,
    "docs/reference/errors.md": errors,
    "docs/reference/language.md": lambda: language_page(MADE_BY),
    "docs/reference/lifecycle.md": lifecycle,
    "docs/reference/limits.md": limits,
    "docs/reference/settings.md": settings,
    "schema/scenario.schema.json": schema_text,
}

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
