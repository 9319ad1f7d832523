"""The schemas of compiled scenarios: as JSON in the code, as fields when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtara.stdlib.values import ValueFailed

__all__ = ("fields_of", "fitting")


def fields_of(schema: Mapping[str, Any]) -> Any:
    """The fields of a schema; see ``runtara.dsl.schemas``."""
    import msgspec  # loaded anyway; with it, only scenarios that have a schema load what reads one

    from runtara.dsl.mappings import SchemaField

    return msgspec.convert(schema, dict[str, SchemaField])


def fitting(value: Any, schema: Mapping[str, Any], what: str, code: str) -> Any:
    """The value with the defaults of the schema.

    Raises:
        ValueFailed: it does not fit; with that code.
    """
    if not schema:
        return value
    from runtara.dsl.schemas import SchemaMisfit, fitted

    try:
        return fitted(value, fields_of(schema), what)
    except SchemaMisfit as error:
        raise ValueFailed(code, str(error)) from error
