"""Values into other values. Source: dsl.md §12.5."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from runtara.agents.capability import agent, capability
from runtara.dsl.paths import MISSING, PathMismatch, resolve

__all__ = ("MappedFields", "Transform", "property_at")


class MappedFields(msgspec.Struct, frozen=True):
    """What ``map-fields`` returns."""

    result: Any
    field_count: int


@agent(id="transform", name="Transform")
class Transform:
    """Pick, rename and reshape."""

    @capability(side_effects=False)
    def map_fields(
        self,
        source_data: Annotated[Any, Meta(description="The value to take from.", extra={"aliases": ("source",)})],
        mappings: Annotated[
            dict[str, str] | None, Meta(description="Path in the source to field of the result.")
        ] = None,
    ) -> MappedFields:
        """A new object of the fields found in the source; the source itself, where no mappings are given.

        Fields that are missing or null are left out. A target field is a plain name: a dot in it is a dot.
        """
        if mappings is None:
            return MappedFields(source_data, len(source_data) if isinstance(source_data, dict) else 0)
        found = {target: property_at(source_data, path) for path, target in mappings.items()}
        result = {target: value for target, value in found.items() if value is not None}
        return MappedFields(result, len(result))


def property_at(value: Any, path: str) -> Any:
    """The value at a property path: names and indices with dots, after an optional ``$.``; null when it is missing.

    The empty path is the value itself. A name that is asked of an array is missing here, unlike in a reference.
    """
    path = "" if path == "$" else path.removeprefix("$.")
    try:
        found = resolve(value, path.split(".") if path else ())
    except PathMismatch:
        return None
    return None if found is MISSING else found
