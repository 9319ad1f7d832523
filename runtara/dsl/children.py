"""Children: which scenario a StartScenario step means. Sources: dsl.md §3.7, §9.1.

Children come as a library of graphs, each with an id and a version; one of an id may be marked as current.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from runtara.dsl.draft import Document

__all__ = ("Child", "ChildMissing", "Library", "library_of", "parse_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One version of a scenario that others may start."""

    scenario_id: str
    document: Document = field(repr=False)
    version: int = 1
    is_current: bool = False

    @property
    def name(self) -> str:
        """How it is named in messages and in compiled code: ``kid@2``."""
        return f"{self.scenario_id}@{self.version}"


class ChildMissing(LookupError):
    """There is no such scenario, or no such version of it; the message says which there are."""


class Library:
    """The children that there are."""

    def __init__(self, children: Iterable[Child] = ()) -> None:
        self._by_id: dict[str, dict[int, Child]] = {}
        for child in children:
            self._by_id.setdefault(child.scenario_id, {})[child.version] = child

    @property
    def children(self) -> tuple[Child, ...]:
        """All of them."""
        return tuple(child for versions in self._by_id.values() for child in versions.values())

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the scenarios, sorted."""
        return tuple(sorted(self._by_id))

    def resolve(self, scenario_id: str, version: int | str) -> Child:
        """The child that a step means by a version, ``latest`` or ``current``.

        Raises:
            ChildMissing: there is none.
        """
        versions = self._by_id.get(scenario_id)
        if versions is None:
            raise ChildMissing(f"the scenario {scenario_id!r} is not among the children")
        wanted = parse_version(version)
        if wanted == "latest":
            return versions[max(versions)]
        if wanted == "current":
            return self._current(scenario_id, versions)
        if wanted not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise ChildMissing(f"the scenario {scenario_id!r} has no version {version}; there is {known}")
        return versions[int(wanted)]

    def _current(self, scenario_id: str, versions: Mapping[int, Child]) -> Child:
        marked = [child for child in versions.values() if child.is_current]
        found = marked or (list(versions.values()) if len(versions) == 1 else [])
        if not found:
            raise ChildMissing(f"no version of the scenario {scenario_id!r} is marked as the current one")
        return found[0]


def parse_version(version: int | str) -> int | str:
    """The version: a number from 1, ``latest`` or ``current``.

    Raises:
        ChildMissing: it is neither.
    """
    if isinstance(version, str) and version.lower() in ("latest", "current"):
        return version.lower()
    if isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 16:
        version = int(version)
    if isinstance(version, str) or version < 1:
        raise ChildMissing(f"{version!r} is no version: it is a number from 1, 'latest' or 'current'")
    return version


def library_of(children: Mapping[str, Document] | None) -> Library:
    """The library of a mapping from ``id`` or ``id@version`` to the document; the version is 1 by default."""
    made = []
    for name, document in (children or {}).items():
        scenario_id, _, version = name.partition("@")
        made.append(Child(scenario_id=scenario_id, document=document, version=int(version or 1)))
    return Library(made)
