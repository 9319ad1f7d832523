"""The two doors of the language: ``validate`` says everything about a document, ``parse_scenario`` gives it a type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runtara.dsl.catalog import Catalog, installed_catalog
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose, raise_errors
from runtara.dsl.draft import Document, Draft, read_draft
from runtara.dsl.model import Scenario
from runtara.dsl.rules.capabilities import check_capabilities
from runtara.dsl.rules.references import check_references
from runtara.dsl.rules.settings import check_options, check_settings
from runtara.dsl.rules.shape import check_shape

__all__ = ("examine", "parse_scenario", "validate")


def validate(
    document: Document, children: Mapping[str, Document] | None = None, *, catalog: Catalog | None = None
) -> tuple[Diagnostic, ...]:
    """Everything that can be said about a scenario before it runs; without errors, it compiles.

    Args:
        document: A scenario, or a bare execution graph.
        children: The scenarios that it starts, by id. Not supported by this version.
        catalog: The agents to check against; by default those of this installation.

    Returns:
        Errors and warnings, those of the structure first; an empty tuple for a perfect scenario.
    """
    _, diagnostics = examine(document, catalog=catalog)
    if children:
        waiting = diagnose(Code.NOT_SUPPORTED, "$", "child scenarios are not supported by this version")
        return (*diagnostics, waiting)
    return diagnostics


def parse_scenario(document: Document, *, catalog: Catalog | None = None) -> Scenario:
    """The document as values. A bare execution graph becomes a scenario with nothing around it.

    Raises:
        ScenarioInvalid: it has errors; the attribute ``diagnostics`` lists all of them, and the warnings.
    """
    draft, diagnostics = examine(document, catalog=catalog)
    raise_errors(diagnostics)
    return draft.scenario()


def examine(document: Document, *, catalog: Catalog | None = None) -> tuple[Draft, tuple[Diagnostic, ...]]:
    """What could be read of a document, and everything that is to say about it."""
    draft = read_draft(document)
    return draft, (*draft.diagnostics, *_check(draft, catalog or installed_catalog()))


def _check(draft: Draft, catalog: Catalog) -> Iterator[Diagnostic]:
    if draft.graph is None:
        return
    yield from check_options(draft)
    yield from check_shape(draft.graph)
    yield from check_settings(draft.graph)
    yield from check_capabilities(draft.graph, catalog)
    yield from check_references(draft.graph, catalog)
