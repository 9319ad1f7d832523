"""The two doors of the language: ``validate`` says everything about a document, ``parse_scenario`` gives it a type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from runtara.dsl.catalog import Catalog, installed_catalog
from runtara.dsl.children import Library, library_of
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, raise_errors
from runtara.dsl.draft import Document, Draft
from runtara.dsl.family import MAIN, Family, read_family
from runtara.dsl.model import Scenario
from runtara.dsl.reading import read_draft
from runtara.dsl.rules.ai import check_ai_agents
from runtara.dsl.rules.capabilities import check_capabilities
from runtara.dsl.rules.children import check_children
from runtara.dsl.rules.connections import check_connections
from runtara.dsl.rules.references import check_references
from runtara.dsl.rules.scopes import root_scope
from runtara.dsl.rules.settings import check_settings
from runtara.dsl.rules.shape import check_names, check_shape
from runtara.limits import DIAGNOSTICS_MAX, GRAPHS_NESTED_MAX, SCENARIO_EDGES_MAX, SCENARIO_STEPS_MAX

__all__ = ("Examination", "examine", "parse_scenario", "validate")


def validate(
    document: Document, children: Mapping[str, Document] | None = None, *, catalog: Catalog | None = None
) -> tuple[Diagnostic, ...]:
    """Everything that can be said about a scenario before it runs; without errors, it compiles.

    Args:
        document: A scenario, or a bare execution graph.
        children: The scenarios that it starts, by ``id`` or ``id@version``.
        catalog: The agents to check against; by default those of this installation.

    Returns:
        Errors and warnings, those of the structure first, then those of the children, whose paths begin with
        ``child@version:``; an empty tuple for a perfect scenario.
    """
    return examine(document, library=library_of(children), catalog=catalog, is_strict=True).diagnostics


def parse_scenario(
    document: Document, children: Mapping[str, Document] | None = None, *, catalog: Catalog | None = None
) -> Scenario:
    """The document as values. A bare execution graph becomes a scenario with nothing around it.

    Raises:
        ScenarioInvalid: it has errors; the attribute ``diagnostics`` lists all of them, and the warnings.
    """
    examination = examine(document, library=library_of(children), catalog=catalog)
    raise_errors(examination.diagnostics)
    return examination.draft.scenario()


@dataclass(frozen=True, slots=True)
class Examination:
    """What could be read of a document and its children, and everything that is to say about them."""

    draft: Draft
    children: Mapping[str, Draft]
    """Those that it starts, themselves or through others, by their name ``id@version``."""
    diagnostics: tuple[Diagnostic, ...]


def examine(
    document: Document, *, library: Library | None = None, catalog: Catalog | None = None, is_strict: bool = False
) -> Examination:
    """Look at a document, and at all children that it starts.

    Strictly, a child that is given anything has to declare what it takes; a scenario compiles without that.
    """
    draft = read_draft(document)
    family = read_family(draft, library or Library())
    examiner = _Examiner(family, catalog or installed_catalog(), is_strict=is_strict)
    return Examination(draft, family.children, tuple(_up_to_limit(examiner.diagnostics())))


def _up_to_limit(diagnostics: Iterator[Diagnostic]) -> Iterator[Diagnostic]:
    errors = 0
    for diagnostic in diagnostics:
        errors += diagnostic.severity == "error"
        if errors > DIAGNOSTICS_MAX:
            message = f"there are more than {DIAGNOSTICS_MAX} errors, and the rest is left out"
            yield diagnose(Code.LIMIT_EXCEEDED, "$", message, hint="Mend these first.")
            return
        yield diagnostic


@dataclass(frozen=True, slots=True)
class _Examiner:
    family: Family
    catalog: Catalog
    is_strict: bool

    def diagnostics(self) -> Iterator[Diagnostic]:
        """What is to say about all of them; where there is too much of them, only what was found while reading."""
        too_large = list(_check_size(self.family))
        for name, draft in self.family.drafts.items():
            found = draft.diagnostics if too_large else self._of(draft, name)
            yield from (found if name == MAIN else (_inside(name, diagnostic) for diagnostic in found))
        yield from too_large

    def _of(self, draft: Draft, name: str) -> Iterator[Diagnostic]:
        yield from draft.diagnostics
        graph = draft.graph
        if graph is None:
            return
        for inner in graph.with_subgraphs:
            yield from check_shape(inner)
        yield from check_names(graph)
        yield from check_settings(graph)
        yield from check_capabilities(graph, self.catalog)
        yield from check_connections(graph, self.catalog)
        yield from check_ai_agents(graph)
        yield from check_children(graph, self.family, name, is_strict=self.is_strict)
        yield from check_references(root_scope(graph, self.catalog))


def _inside(name: str, diagnostic: Diagnostic) -> Diagnostic:
    return msgspec.structs.replace(diagnostic, path=f"{name}:{diagnostic.path}")


def _check_size(family: Family) -> Iterator[Diagnostic]:
    counts = (
        (family.steps, SCENARIO_STEPS_MAX, "steps"),
        (family.edges, SCENARIO_EDGES_MAX, "edges"),
        (family.nesting, GRAPHS_NESTED_MAX, "graphs inside each other"),
    )
    for count, allowed, what in counts:
        if count > allowed:
            message = f"the scenario has {count} {what}, and {allowed} are allowed, with those of its children"
            yield diagnose(Code.LIMIT_EXCEEDED, "$", message, hint="Divide the scenario.")
