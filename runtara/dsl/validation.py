"""The two doors of the language: ``validate`` says everything about a document, ``parse_scenario`` gives it a type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from runtara.dsl.catalog import Catalog, installed_catalog
from runtara.dsl.children import Child, Library, library_of
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, raise_errors
from runtara.dsl.draft import Document, Draft, read_draft
from runtara.dsl.model import Scenario
from runtara.dsl.rules.ai import check_ai_agents
from runtara.dsl.rules.capabilities import check_capabilities
from runtara.dsl.rules.children import check_children, children_of
from runtara.dsl.rules.connections import check_connections
from runtara.dsl.rules.references import check_references
from runtara.dsl.rules.scopes import root_scope
from runtara.dsl.rules.settings import check_settings
from runtara.dsl.rules.shape import check_names, check_shape
from runtara.limits import SCENARIO_STEPS_MAX

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
    examiner = _Examiner(library or Library(), catalog or installed_catalog(), is_strict=is_strict)
    draft = read_draft(document)
    diagnostics = list(examiner.of(draft))
    for name, child in list(examiner.read.items()):
        diagnostics += (_inside(name, diagnostic) for diagnostic in examiner.of(child))
    return Examination(draft, examiner.read, (*diagnostics, *_check_size(draft, examiner.read)))


@dataclass(frozen=True, slots=True)
class _Examiner:
    library: Library
    catalog: Catalog
    is_strict: bool
    read: dict[str, Draft] = field(default_factory=dict)

    def draft_of(self, child: Child) -> Draft:
        """The draft of a child, read once."""
        if child.name not in self.read:
            self.read[child.name] = read_draft(child.document)
            graph = self.read[child.name].graph
            for inner in children_of(graph, self.library).values() if graph is not None else ():
                self.draft_of(inner)
        return self.read[child.name]

    def of(self, draft: Draft) -> Iterator[Diagnostic]:
        """What is to say about one document."""
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
        yield from check_children(graph, self.library, self.draft_of, is_strict=self.is_strict)
        yield from check_references(root_scope(graph, self.catalog))


def _inside(name: str, diagnostic: Diagnostic) -> Diagnostic:
    return msgspec.structs.replace(diagnostic, path=f"{name}:{diagnostic.path}")


def _check_size(draft: Draft, children: Mapping[str, Draft]) -> Iterator[Diagnostic]:
    graphs = [one.graph for one in (draft, *children.values()) if one.graph is not None]
    count = sum(len(inner.steps) for graph in graphs for inner in graph.with_subgraphs)
    if count > SCENARIO_STEPS_MAX:
        message = f"the scenario has {count} steps, and {SCENARIO_STEPS_MAX} are allowed, with those of its children"
        yield diagnose(Code.LIMIT_EXCEEDED, "$", message, hint="Divide the scenario.")
