"""Values into other values. Source: dsl.md §12.5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from runtara.agents.builtin.json_values import (
    decode_json,
    encode_json,
    identity,
    is_blank,
    is_empty_text,
    is_null,
    is_zero,
    sort_key,
    text_of,
)
from runtara.agents.builtin.matching import MatchCondition, matcher
from runtara.agents.builtin.property_paths import property_at, with_property
from runtara.agents.capability import agent, capability
from runtara.agents.errors import AgentError

__all__ = (
    "Appended",
    "ArrayLength",
    "EnsuredArray",
    "Extracted",
    "Grouped",
    "Items",
    "JsonText",
    "Kept",
    "MappedFields",
    "Transform",
)

Path = Annotated[
    str, Meta(description="Names and indices with dots; empty or $ is the item itself.", examples=["address.city"])
]
OptionalPath = Annotated[
    str | None, Meta(description="Names and indices with dots; none is the item itself.", examples=["address.city"])
]
Array = Annotated[list[Any], Meta(description="The array to work on.")]


class Extracted(msgspec.Struct, frozen=True):
    """What ``extract`` returns."""

    values: list[Any]
    count: int


class Items(msgspec.Struct, frozen=True):
    """What ``sort`` and ``flat-map`` return."""

    items: list[Any]
    count: int


class Kept(msgspec.Struct, frozen=True):
    """What the filters return."""

    items: list[Any]
    count: int
    removed_count: int


class JsonText(msgspec.Struct, frozen=True):
    """What ``to-json-string`` returns."""

    json: str
    length: int
    """In bytes of UTF-8."""


class MappedFields(msgspec.Struct, frozen=True):
    """What ``map-fields`` returns."""

    result: Any
    field_count: int


class Grouped(msgspec.Struct, frozen=True):
    """What ``group-by`` returns."""

    groups: Any
    group_count: int


class Appended(msgspec.Struct, frozen=True):
    """What ``append`` returns."""

    array: list[Any]
    length: int


class ArrayLength(msgspec.Struct, frozen=True):
    """What ``array-length`` returns."""

    length: int
    is_array: bool


class EnsuredArray(msgspec.Struct, frozen=True):
    """What ``ensure-array`` returns."""

    items: list[Any]
    count: int
    was_array: bool


@agent(id="transform", name="Transform")
class Transform:
    """Pick, filter, sort, group, rename and reshape. No capability changes its inputs."""

    # ---- one value

    @capability(side_effects=False)
    def get_value_by_path(
        self,
        value: Annotated[Any, Meta(description="The value to look into.")] = None,
        property_path: OptionalPath = None,
    ) -> Any:
        """The value at a path; null when it is missing, and when no path is given."""
        return property_at(value, property_path) if property_path else None

    @capability(side_effects=False)
    def set_value_by_path(
        self,
        target: Annotated[Any, Meta(description="The object to take a copy of.")] = None,
        property_path: OptionalPath = None,
        value: Annotated[Any, Meta(description="The value to set.")] = None,
    ) -> Any:
        """The object with the value at the path; objects that are missing on the way are made.

        A target that is no object, and one whose path leads through something else than objects, comes back unchanged.
        """
        return with_property(target, property_path or "", value)

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

    @capability(side_effects=False)
    def from_json_string(
        self, value: Annotated[str | None, Meta(description="JSON.", examples=['{"a": 1}'])] = None
    ) -> Any:
        """The value of a JSON text; null for null and the empty text. Fails with ``TRANSFORM_JSON_PARSE_ERROR``."""
        return decode_json(value, code="TRANSFORM_JSON_PARSE_ERROR") if value else None

    @capability(side_effects=False)
    def to_json_string(self, value: Annotated[Any, Meta(description="Any value.")]) -> JsonText:
        """The value as compact JSON, its keys sorted. Fails with ``TRANSFORM_JSON_SERIALIZE_ERROR``."""
        encoded = encode_json(value, sort_keys=True)
        return JsonText(encoded.decode(), len(encoded))

    @capability(side_effects=False)
    def array_length(self, value: Annotated[Any, Meta(description="Any value.")]) -> ArrayLength:
        """How many items an array has, keys an object, or bytes a text; 0 for anything else."""
        if isinstance(value, str):
            return ArrayLength(len(value.encode("utf-8", "surrogatepass")), is_array=False)
        return ArrayLength(len(value) if isinstance(value, list | dict) else 0, isinstance(value, list))

    @capability(side_effects=False)
    def ensure_array(self, value: Annotated[Any, Meta(description="Any value.")]) -> EnsuredArray:
        """An array as it is, null as the empty array, anything else as an array of it alone."""
        was_array = isinstance(value, list)
        items = value if was_array else [] if value is None else [value]
        return EnsuredArray(items, len(items), was_array)

    # ---- one out of many

    @capability(side_effects=False)
    def select_first(self, value: Annotated[list[Any] | None, Meta(description="The candidates.")] = None) -> Any:
        """The first that is neither null, a blank text, 0 nor false; null when there is none.

        Empty arrays and objects are values.
        """
        return next((item for item in value or () if not (item is None or _is_falsy(item))), None)

    @capability(side_effects=False)
    def coalesce(
        self,
        values: Annotated[list[Any], Meta(description="The candidates.")],
        treat_empty_string_as_null: Annotated[bool, Meta(description="Pass over empty texts too.")] = False,
        treat_zero_as_null: Annotated[bool, Meta(description="Pass over 0 too.")] = False,
    ) -> Any:
        """The first that is not null; null when there is none."""
        tests = [is_null]
        tests += [is_empty_text] if treat_empty_string_as_null else []
        tests += [is_zero] if treat_zero_as_null else []
        return next((item for item in values if not any(test(item) for test in tests)), None)

    # ---- arrays

    @capability(side_effects=False)
    def extract(self, value: Array, property_path: Path) -> Extracted:
        """The property of each item, null where it is missing; the items themselves, where the path is empty."""
        values = [property_at(item, property_path) for item in value]
        return Extracted(values, len(values))

    @capability(side_effects=False)
    def filter_non_values(
        self,
        value: Array,
        property_path: OptionalPath = None,
        filter_empty_strings: Annotated[bool, Meta(description="Remove empty texts.")] = False,
        filter_null_values: Annotated[bool, Meta(description="Remove null and missing ones.")] = False,
        filter_blank_strings: Annotated[bool, Meta(description="Remove texts of white space, or of nothing.")] = False,
        filter_zero_values: Annotated[bool, Meta(description='Remove 0 and "0".')] = False,
    ) -> Kept:
        """The items whose property is none of what is to be removed."""
        tests = [is_empty_text] if filter_empty_strings else []
        tests += [is_null] if filter_null_values else []
        tests += [is_blank] if filter_blank_strings else []
        tests += [_is_zero_or_its_text] if filter_zero_values else []
        return _kept(value, property_path, lambda found: not any(test(found) for test in tests))

    @capability(side_effects=False)
    def filter(
        self,
        *,
        value: Annotated[list[Any] | None, Meta(description="The array to filter; null is an empty one.")] = None,
        property_path: Path,
        match_values: Annotated[Any, Meta(description="A value, or an array of which one has to match.")],
        match_condition: Annotated[MatchCondition, Meta(description="How the property has to match.")],
    ) -> Kept:
        """The items whose property matches any of the values; of a property that is an array, any element.

        Equality is that of JSON: 1 is 1.0, but neither true nor "1". Null equals nothing, so that EXCLUDES keeps it.
        The conditions on texts match texts with texts only.
        """
        wanted = match_values if isinstance(match_values, list) else [match_values]
        test = matcher(match_condition, wanted)
        return _kept(value or [], property_path, test)

    @capability(side_effects=False)
    def sort(
        self,
        value: Array,
        property_path: OptionalPath = None,
        ascending: Annotated[bool, Meta(description="Smallest first.")] = True,
    ) -> Items:
        """The items in the order of their properties; those with equal ones keep theirs.

        Numbers by value, texts by code point, false before true, different types by their JSON. Null is the greatest.
        """
        path = property_path or ""
        items = sorted(value, key=lambda item: sort_key(property_at(item, path)), reverse=not ascending)
        return Items(items, len(items))

    @capability(side_effects=False)
    def group_by(
        self,
        value: Annotated[Any, Meta(description="The array to group.")],
        key: Path,
        as_map: Annotated[bool, Meta(description="An object by key, instead of an array of arrays.")] = False,
    ) -> Grouped:
        """The items with equal properties together, groups in the order in which they were first seen.

        Items whose property is missing or null are left out. The keys of an object are texts: there 1 and "1" are one
        group. Fails with ``TRANSFORM_INVALID_INPUT`` when the value is no array.
        """
        if not isinstance(value, list):
            raise AgentError("TRANSFORM_INVALID_INPUT", "only an array can be grouped")
        groups: dict[Any, list[Any]] = {}
        for item in value:
            found = property_at(item, key)
            if found is not None:
                groups.setdefault(text_of(found) if as_map else identity(found), []).append(item)
        return Grouped(groups if as_map else list(groups.values()), len(groups))

    @capability(side_effects=False)
    def append(self, array: Array, item: Annotated[Any, Meta(description="The new last item.")]) -> Appended:
        """The array with one more item."""
        longer = [*array, item]
        return Appended(longer, len(longer))

    @capability(side_effects=False)
    def flat_map(self, value: Array, property_path: Path) -> Items:
        """The elements of all properties that are arrays, in one array; nothing, where the path is empty."""
        found = [property_at(item, property_path) for item in value] if property_path else []
        items = [element for elements in found if isinstance(elements, list) for element in elements]
        return Items(items, len(items))


def _is_falsy(value: Any) -> bool:
    return value is False or is_blank(value) or is_zero(value)


def _is_zero_or_its_text(value: Any) -> bool:
    return is_zero(value) or bool(value == "0")


def _kept(items: list[Any], path: str | None, test: Callable[[Any], bool]) -> Kept:
    kept = [item for item in items if test(property_at(item, path or ""))]
    return Kept(kept, len(kept), len(items) - len(kept))
