"""The compiler's front: from a scenario to an artifact.

Validate, lower, emit, package. Nothing is left behind when the scenario is refused; compiling the same again gives the
same bytes, from the cache.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from runtara.artifact import Manifest, runtime_identity
from runtara.compiler.backend.base import CompilerBackend, Layer
from runtara.compiler.backend.local import LocalBackend
from runtara.compiler.cache import ArtifactCache, write_atomically
from runtara.compiler.emit import Emitted, emit
from runtara.compiler.lower import Program, lower
from runtara.config import CompilerConfig
from runtara.dsl.catalog import Catalog, installed_catalog
from runtara.dsl.children import Child, Library
from runtara.dsl.diagnostics import Diagnostic, raise_errors
from runtara.dsl.draft import Document
from runtara.dsl.model import DSL_VERSION, ExecutionGraph, Scenario, StartScenarioStep
from runtara.dsl.validation import Examination, examine
from runtara.errors import InvalidRequest
from runtara.ids import parse_name, parse_tenant_id

__all__ = (
    "ChildDependency",
    "CompilationInput",
    "CompilationResult",
    "Translation",
    "compile_scenario",
    "translate_scenario",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilationInput:
    """What to compile. The fields are those of the reference."""

    tenant_id: str
    scenario_id: str
    execution_graph: Document | Scenario | ExecutionGraph
    """The scenario, or its bare graph: as JSON, as decoded JSON, or parsed."""
    version: int = 1
    debug_mode: bool = False
    """Each step writes events of its start and end, and breakpoints hold."""
    child_scenarios: tuple[Child, ...] = ()
    """The scenarios that it starts, and those that they start."""
    connection_service_url: str | None = None
    """Recorded in the manifest, for runs that need connections and are told no other address."""
    output: Path | None = None
    """Where the artifact shall be as well; by default it is in the cache only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildDependency:
    """A step that starts a child, and which version of it was taken."""

    step_id: str
    child_scenario_id: str
    child_version_requested: int | str
    child_version_resolved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilationResult:
    """What came of it."""

    binary_path: Path
    binary_size: int
    """In bytes."""
    binary_checksum: str
    """SHA-256 in lower-case hexadecimal."""
    manifest: Manifest
    has_side_effects: bool
    """Whether any capability that the scenario calls has."""
    default_variables: dict[str, Any]
    child_dependencies: tuple[ChildDependency, ...] = ()
    """What was compiled in: a new version of one of them needs a new compilation."""
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def metadata(self) -> dict[str, Any]:
        """What to register with the image: the manifest as JSON-like values."""
        data: dict[str, Any] = msgspec.to_builtins(self.manifest)
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A scenario as code, before it is packaged."""

    layer: Layer
    program: Program
    emitted: Emitted
    warnings: tuple[Diagnostic, ...]


def compile_scenario(
    compilation: CompilationInput,
    *,
    backend: CompilerBackend | None = None,
    data_dir: Path | None = None,
    catalog: Catalog | None = None,
) -> CompilationResult:
    """Compile a scenario to an artifact on disk. Safe to call again, and from many processes at once.

    Args:
        compilation: What to compile.
        backend: The form of the artifact; by default an executable for this interpreter.
        data_dir: Holds the cache; by default ``DATA_DIR``.
        catalog: The agents to compile against; by default those of this installation.

    Raises:
        ScenarioInvalid: the scenario has errors; the attribute ``diagnostics`` lists all of them.
        InvalidRequest: another field is not usable, or asks for what this version does not support.
        Unavailable: the artifact cannot be written; nothing is left behind.
    """
    backend = backend or LocalBackend()
    translation = translate_scenario(compilation, catalog=catalog)
    directory = data_dir if data_dir is not None else CompilerConfig.from_env().data_dir
    path = _cached(ArtifactCache(directory / "cache"), backend, translation.layer)
    artifact = path.read_bytes()
    if compilation.output is not None:
        path = compilation.output
        write_atomically(path, artifact, mode=0o755)
    return CompilationResult(
        binary_path=path,
        binary_size=len(artifact),
        binary_checksum=hashlib.sha256(artifact).hexdigest(),
        manifest=translation.layer.manifest,
        has_side_effects=translation.program.has_side_effects,
        default_variables=translation.program.default_variables,
        child_dependencies=_dependencies(translation.program),
        warnings=translation.warnings,
    )


def _cached(cache: ArtifactCache, backend: CompilerBackend, layer: Layer) -> Path:
    key = f"{backend.name}-{layer.digest()}"
    return cache.find(key) or cache.save(key, backend.package(layer))


def translate_scenario(compilation: CompilationInput, *, catalog: Catalog | None = None) -> Translation:
    """The code of a scenario, without an artifact. Raises as ``compile_scenario`` does."""
    _check_options(compilation)
    catalog, library = catalog or installed_catalog(), Library(compilation.child_scenarios)
    examination = examine(_document(compilation.execution_graph), library=library, catalog=catalog)
    raise_errors(examination.diagnostics)
    program = lower(
        examination,
        scenario_id=compilation.scenario_id,
        version=compilation.version,
        catalog=catalog,
        library=library,
        debug=compilation.debug_mode,
    )
    emitted = emit(program)
    scenario = msgspec.json.encode(_whole(examination), order="sorted")
    manifest = Manifest(
        dsl_version=DSL_VERSION,
        scenario_id=compilation.scenario_id,
        version=compilation.version,
        name=program.main.graph.name,
        runtime=runtime_identity(program.capabilities, catalog=catalog),
        capabilities=program.capabilities,
        source_digest=hashlib.sha256(scenario).hexdigest(),
        connection_service_url=compilation.connection_service_url,
        memory_tier=program.scenario.memory_tier,
        execution_timeout_s=program.main.graph.execution_timeout_seconds,
    )
    layer = Layer(manifest, emitted.source, scenario)
    return Translation(layer=layer, program=program, emitted=emitted, warnings=examination.diagnostics)


def _whole(examination: Examination) -> Any:
    """The document; where it has children, it and they."""
    if not examination.children:
        return examination.draft.tree
    children = {name: draft.tree for name, draft in examination.children.items()}
    return {"scenario": examination.draft.tree, "children": children}


def _dependencies(program: Program) -> tuple[ChildDependency, ...]:
    return tuple(
        ChildDependency(
            step_id=planned.step.id,
            child_scenario_id=planned.step.child_scenario_id,
            child_version_requested=planned.step.child_version,
            child_version_resolved=program.children[planned.child].version,
        )
        for planned in program.steps
        if isinstance(planned.step, StartScenarioStep) and planned.child is not None
    )


def _document(graph: Document | Scenario | ExecutionGraph) -> Document:
    if isinstance(graph, Scenario | ExecutionGraph):
        document: Document = msgspec.to_builtins(graph)
        return document
    return graph


def _check_options(compilation: CompilationInput) -> None:
    parse_tenant_id(compilation.tenant_id)
    parse_name(compilation.scenario_id, what="scenario_id")
    version = compilation.version
    if type(version) is not int or version < 1:
        raise InvalidRequest(
            f"{version!r} is not a version", hint="Versions are whole numbers from 1.", field="version"
        )
    url = compilation.connection_service_url
    if url is not None and not _is_http_url(url):
        hint = "Give an http or https URL."
        raise InvalidRequest(f"{url!r} is not the URL of a service", hint=hint, field="connection_service_url")


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
