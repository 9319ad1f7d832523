"""Texts of comma-separated values into rows of texts, and back. Source: RFC 4180, and dsl.md §12.8.

What one dialect writes, the same dialect reads.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from runtara.agents.errors import AgentError

__all__ = ("Dialect", "read_rows", "write_rows")

_FIELD_CHARACTERS_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Dialect:
    """The three characters with a meaning."""

    delimiter: str
    quote: str | None
    escape: str | None

    @classmethod
    def of(cls, delimiter: str, quote: str | None, escape: str | None, *, error_code: str) -> Dialect:
        """The dialect of three inputs: each one character, or backslash and t for a tab. Empty is none.

        Raises:
            AgentError: two are the same, or one is no single character or a line break; with that code.
        """
        made = cls(_unescaped(delimiter), _unescaped(quote or "") or None, _unescaped(escape or "") or None)
        given = [character for character in (made.delimiter, made.quote, made.escape) if character is not None]
        for character in given:
            if len(character) != 1 or character in "\r\n":
                raise AgentError(error_code, f"{character[:20]!r} is not one character that can separate or quote")
        if len(set(given)) < len(given):
            raise AgentError(error_code, "the delimiter, the quote and the escape character are not all different")
        return made


def _unescaped(text: str) -> str:
    return "\t" if text == "\\t" else text


def read_rows(text: str, dialect: Dialect) -> Iterator[list[str]]:
    """Row by row, of any lengths; an empty line is an empty row. Quotes may stand inside of fields.

    Raises:
        AgentError: ``CSV_PARSE_ERROR``: a quote is not closed.
    """
    # The limit is one of the process, and nobody needs the default: a field may be as large as a document.
    csv.field_size_limit(_FIELD_CHARACTERS_MAX)
    reader = csv.reader(
        itertools.chain(io.StringIO(text, newline=""), ("\n",)),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
    )
    # The reader does not tell when the text ends within quotes; but then the empty line at the end is not an empty row.
    last: list[str] | None = None
    for row in reader:
        if last is not None:
            yield last
        last = row
    if last:
        raise AgentError("CSV_PARSE_ERROR", "the text ends within quotes", attributes={"line": str(reader.line_num)})


def write_rows(rows: Iterable[Sequence[str]], dialect: Dialect) -> str:
    """One line each, ended by a line feed. A row of one empty field is quoted: an empty line is no row.

    Raises:
        AgentError: ``CSV_WRITE_ERROR``: a field needs a quote or an escape, and the dialect has neither.
    """
    meanings = "".join(re.escape(each) for each in (dialect.delimiter, dialect.quote, dialect.escape) if each)
    special = re.compile(rf"[{meanings}\r\n]")
    return "".join(_line(row, dialect, special) for row in rows)


def _line(row: Sequence[str], dialect: Dialect, special: re.Pattern[str]) -> str:
    if len(row) == 1 and not row[0] and dialect.quote:
        return dialect.quote * 2 + "\n"
    return dialect.delimiter.join(_field(text, dialect, special) for text in row) + "\n"


def _field(text: str, dialect: Dialect, special: re.Pattern[str]) -> str:
    if not special.search(text):
        return text
    quote, escape = dialect.quote, dialect.escape
    if quote is not None:
        escaped = text.replace(escape, escape * 2) if escape else text
        return quote + escaped.replace(quote, (escape or quote) + quote) + quote
    if escape is not None:
        return special.sub(lambda match: escape + match[0], text)
    raise AgentError("CSV_WRITE_ERROR", "a field has the delimiter or a line break in it, and there is no quote")
