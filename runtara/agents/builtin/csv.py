"""Comma-separated values: read, write, guess the types. Source: dsl.md §12.8.

All that is read is text. What is written has the union of the keys as its columns, in their order by code point, and
every value stands under its own name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from runtara.agents.builtin.csv_dialect import Dialect, read_rows, write_rows
from runtara.agents.builtin.documents import Data, DataFormat, document_text
from runtara.agents.builtin.text_encodings import encode_text, find_codec
from runtara.agents.capability import agent, capability
from runtara.agents.errors import AgentError
from runtara.limits import OUTPUT_BYTES_MAX

__all__ = ("Csv", "CsvText", "CsvValue")

_NAMES_CHARACTERS_MAX: Final = 4 * OUTPUT_BYTES_MAX
"""Of the names of columns, as often as they are in the output: a name of a megabyte must not come a million times."""

_FIELDS_MAX: Final = OUTPUT_BYTES_MAX
"""Of what is written, where each takes a byte at least: a million objects of different keys make a million columns."""

ColumnType = Literal["Boolean", "Integer", "Double", "String"]

_COLUMN_TYPES: Final[Mapping[ColumnType, re.Pattern[str]]] = {
    "Boolean": re.compile(r"\s*(?:true|false)\s*"),
    "Integer": re.compile(r"\s*-?(?:0|[1-9][0-9]{0,17})\s*"),
    "Double": re.compile(r"\s*-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*"),
}
"""As in JSON; what is none of them is a String. A number that has no room in 64 bits is a Double."""


class _Dialect(msgspec.Struct, frozen=True, kw_only=True):
    encoding: Annotated[str, Meta(description="Of bytes; any name of the web. Raw text has none.")] = "UTF-8"
    delimiter: Annotated[str, Meta(description="One character; \\t is a tab.")] = ","
    quote_char: Annotated[str | None, Meta(description="One character, or none.")] = '"'
    escape_char: Annotated[str | None, Meta(description="Before a quote; without, quotes are doubled.")] = None
    use_header: Annotated[bool, Meta(description="Whether the first line has the names of the columns.")] = True

    def dialect(self, error_code: str) -> Dialect:
        return Dialect.of(self.delimiter, self.quote_char, self.escape_char, error_code=error_code)


class CsvText(_Dialect, frozen=True, kw_only=True):
    """The inputs of ``from-csv`` and ``get-header``."""

    data: Data
    data_format: DataFormat = "auto"
    skip_empty_lines: Annotated[bool, Meta(description="Lines without anything but blanks and delimiters.")] = True
    trim_whitespace: Annotated[bool, Meta(description="Around names and values.")] = False


class CsvValue(_Dialect, frozen=True, kw_only=True):
    """The inputs of ``to-csv``."""

    value: Annotated[Any, Meta(description="A list of objects, or a list of lists; or one object.")]
    output_format: Annotated[
        Literal["bytes", "text", "base64"], Meta(description="With bytes, a list of numbers from 0 to 255.")
    ] = "bytes"


@agent(id="csv", name="CSV")
class Csv:
    """Read and write comma-separated values."""

    @capability(side_effects=False)
    def from_csv(self, inputs: CsvText) -> list[Any]:
        """An object for each line, or without header a list. All values are texts.

        A column without a name is left out; of columns with the same name, the last one stays.
        """
        rows = list(_table(inputs))
        if not inputs.use_header or not rows:
            return rows
        names, *body = rows
        _check_size(names, len(body))
        if all(names):
            return [dict(zip(names, row, strict=True)) for row in body]
        return [{name: value for name, value in zip(names, row, strict=True) if name} for row in body]

    @capability(side_effects=False)
    def to_csv(self, inputs: CsvValue) -> Any:
        """The lines. Columns are all the keys, sorted; a key that an object lacks is an empty field."""
        dialect = inputs.dialect("CSV_WRITE_ERROR")
        data = _encoded(write_rows(_rows_of(inputs.value, use_header=inputs.use_header), dialect), inputs)
        if inputs.output_format == "bytes":
            return list(data)
        return base64.b64encode(data).decode() if inputs.output_format == "base64" else data

    @capability(side_effects=False)
    def get_header(self, inputs: CsvText) -> dict[str, ColumnType]:
        """The names of the columns, and the types that the values of the first row have."""
        table = _table(inputs)
        first = next(table, None)
        if first is None:
            raise AgentError("CSV_EMPTY_FILE", "there is no line")
        names = first if inputs.use_header else _numbered(len(first))
        values = next(table, [""] * len(names)) if inputs.use_header else first
        return {name: _column_type(value) for name, value in zip(names, values, strict=True) if name}


# ---- read


def _table(inputs: CsvText) -> Iterator[list[str]]:
    """The rows, all of one length."""
    dialect = inputs.dialect("CSV_PARSE_ERROR")
    text = document_text(inputs.data, inputs.data_format, codec=find_codec(inputs.encoding), prefix="CSV")
    width: int | None = None
    for number, row in enumerate(read_rows(text, dialect), 1):
        if inputs.skip_empty_lines and not any(field and not field.isspace() for field in row):
            continue
        width = (len(row) or 1) if width is None else width
        yield _fitted([field.strip() for field in row] if inputs.trim_whitespace else row, width, number)


def _fitted(row: list[str], width: int, number: int) -> list[str]:
    if not row:
        return [""] * width
    if len(row) == width:
        return row
    raise AgentError(
        "CSV_PARSE_ERROR",
        f"row {number} has {len(row)} fields, the first one has {width}",
        attributes={"row": str(number), "expected": str(width), "found": str(len(row))},
    )


def _check_size(names: Iterable[str], count: int) -> None:
    if sum(map(len, names)) * count > _NAMES_CHARACTERS_MAX:
        message = f"the names of the columns, {count} times, have more than {_NAMES_CHARACTERS_MAX} characters"
        raise AgentError("CSV_PARSE_ERROR", message)


def _numbered(count: int) -> list[str]:
    return [f"Column {number}" for number in range(1, count + 1)]


def _column_type(value: str) -> ColumnType:
    return next((name for name, pattern in _COLUMN_TYPES.items() if pattern.fullmatch(value)), "String")


# ---- write


def _rows_of(value: Any, *, use_header: bool) -> Iterator[list[str]]:
    """Texts for all that is to be written, the header first."""
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise AgentError("CSV_WRITE_ERROR", "only a list of objects or of lists can be written, or one object")
    if all(isinstance(row, dict) for row in rows):
        names = sorted({name for row in rows for name in row})
        table = ([row.get(name) for name in names] for row in rows)
    elif all(isinstance(row, list) for row in rows):
        names = _numbered(max(map(len, rows)))
        table = (row + [None] * (len(names) - len(row)) for row in rows)
    else:
        raise AgentError("CSV_WRITE_ERROR", "the rows are neither all objects nor all lists")
    if len(names) * len(rows) > _FIELDS_MAX:
        message = f"{len(rows)} rows of {len(names)} columns are more than {_FIELDS_MAX} fields"
        raise AgentError("CSV_WRITE_ERROR", message)
    if not names:
        return
    if use_header:
        yield names
    yield from ([_text(value) for value in row] for row in table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise AgentError("CSV_WRITE_ERROR", f"a value cannot be written as JSON: {error}") from None


def _encoded(text: str, inputs: CsvValue) -> Any:
    """The bytes of the text; the text itself, where that is asked for."""
    if inputs.output_format == "text":
        return text
    codec = find_codec(inputs.encoding)
    try:
        return encode_text(text, codec or "utf-8")
    except UnicodeEncodeError as error:
        message = f"{inputs.encoding} has no character {text[error.start]!r}"
        raise AgentError("CSV_ENCODING_ERROR", message, attributes={"encoding": inputs.encoding}) from None
