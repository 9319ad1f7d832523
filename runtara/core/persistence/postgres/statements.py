"""SQL lives in files beside the code that runs it: ``-- name: claim_due`` begins the statement of that name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import LiteralString, cast

__all__ = ("load_statements",)

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_statements(package: str, file_name: str) -> Mapping[str, LiteralString]:
    """The statements of a file in a package, by name. What stands before the first name is a preface.

    They are literal although they come from a file: the file is part of the program.
    """
    text = files(package).joinpath(file_name).read_text("utf-8")
    _, *parts = _NAME.split(text)
    names, statements = parts[0::2], parts[1::2]
    assert len(set(names)) == len(names), f"{file_name} has two statements of one name"
    return {name: cast(LiteralString, sql.strip().rstrip(";")) for name, sql in zip(names, statements, strict=True)}
