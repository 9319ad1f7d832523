"""Values as an author writes them: constants, references, composites, templates; and the schemas of what is given.

JSON names are camelCase, ours are snake_case. Source: dsl.md §1.4, §4.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta

__all__ = (
    "Composite",
    "ConditionTree",
    "Count",
    "Document",
    "Immediate",
    "InputMapping",
    "MappingValue",
    "Milliseconds",
    "Reference",
    "SchemaField",
    "SchemaFields",
    "Template",
    "TypeHint",
    "Variable",
    "Visibility",
)

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
"""A whole number that every JSON implementation can hold."""

Milliseconds: TypeAlias = Annotated[int, Meta(ge=1, le=2**53)]
"""A length of time that is not zero."""

TypeHint: TypeAlias = Literal["string", "integer", "number", "boolean", "json", "file"]

ConditionTree: TypeAlias = Annotated[Any, Meta(extra={"grammar": "condition"})]
"""The JSON of a condition; ``runtara.dsl.conditions.read_condition`` gives it a shape."""


class Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What all parts of a scenario have in common."""


class Immediate(Document, frozen=True, kw_only=True, tag_field="valueType", tag="immediate"):
    """The value itself."""

    value: Any


class Reference(Document, frozen=True, kw_only=True, tag_field="valueType", tag="reference"):
    """A look-up in the run's context. Missing values are ``default``, or null."""

    value: str
    """The path; see ``runtara.dsl.paths.tokenize``."""
    type: TypeHint | None = None
    default: Any = UNSET
    """``UNSET`` when there is none; null is a default as good as any other."""


class Composite(Document, frozen=True, kw_only=True, tag_field="valueType", tag="composite"):
    """An object or an array of values. A dot in a key is a dot."""

    value: dict[str, MappingValue] | list[MappingValue]


class Template(Document, frozen=True, kw_only=True, tag_field="valueType", tag="template"):
    """A text with expressions in it, rendered with the roots of the run's context; always a string.

    The syntax is Jinja's. A missing name is an error.
    """

    value: str


MappingValue: TypeAlias = Immediate | Reference | Composite | Template

InputMapping: TypeAlias = dict[str, MappingValue]
"""Target key to value; a dot in a key makes a nested object."""


class Visibility(Document, frozen=True, kw_only=True):
    """Shows a field of a form only when another one has, or has not, a value."""

    field: str
    equals: Any = UNSET
    not_equals: Any = UNSET


class SchemaField(Document, frozen=True, kw_only=True, omit_defaults=True):
    """What one field of an object must be. ``default`` stands in for a missing field.

    ``label``, ``placeholder``, ``order``, ``format``, ``example`` and ``visible_when`` are for forms and mean nothing
    to a run.
    """

    type: Literal["string", "integer", "number", "boolean", "array", "object", "file"]
    required: bool = False
    nullable: bool = False
    description: str | None = None
    default: Any = UNSET
    enum: list[Any] | None = None
    items: SchemaField | None = None
    """Of an array."""
    properties: dict[str, SchemaField] | None = None
    """Of an object."""
    min: float | None = None
    """The least number; of a string or an array, the least length."""
    max: float | None = None
    pattern: str | None = None
    """Of a string: a regular expression that is found in it."""
    example: Any = UNSET
    label: str | None = None
    placeholder: str | None = None
    order: int | None = None
    format: str | None = None
    visible_when: Visibility | None = None


SchemaFields: TypeAlias = dict[str, SchemaField]
"""A flat map of the fields of an object. Fields that are not in it are fine."""


class Variable(Document, frozen=True, kw_only=True):
    """A constant that the input of a run may override."""

    type: Literal["string", "number", "integer", "boolean", "array", "object", "file"]
    value: Any
    description: str | None = None
