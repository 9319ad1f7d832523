"""What every ``CompilerBackend`` must do. A backend is added to the suite by a class with one fixture.

::

    class TestLocal(CompilerBackendContract):
        @pytest.fixture
        def backend(self) -> CompilerBackend:
            return LocalBackend()
"""

from __future__ import annotations

from typing import Final

import pytest

from runtara.artifact import ArtifactMalformed, Manifest
from runtara.compiler.backend.base import CompilerBackend, Layer

__all__ = ("CompilerBackendContract",)

_SOURCE: Final = (
    'SCENARIO = "ä"\n\n\nasync def main(run: object) -> object:\n    return {"text": "\\u2028"}\n\n\nSOURCE_MAP = {}\n'
)


def _layer(**changes: object) -> Layer:
    facts: dict[str, object] = {
        "dsl_version": "3.0.0",
        "scenario_id": "orders",
        "version": 3,
        "name": "Orders ✓",
        "runtime": "0" * 64,
        "capabilities": ("http/request", "utils/do-nothing"),
        "source_digest": "1" * 64,
    }
    return Layer(Manifest(**(facts | changes)), _SOURCE, b'{"steps":{}}')  # type: ignore[arg-type]


class CompilerBackendContract:
    """See the module."""

    @pytest.fixture
    def backend(self) -> CompilerBackend:
        """The backend under test."""
        raise AssertionError("a subclass gives the backend")

    def test_it_has_a_name_that_can_be_part_of_a_file_name(self, backend: CompilerBackend) -> None:
        """The cache builds keys from it."""
        assert backend.name.isidentifier()

    def test_an_artifact_gives_its_layer_back(self, backend: CompilerBackend) -> None:
        """Nothing is lost or changed on the way."""
        layer = _layer()
        assert backend.unpack(backend.package(layer)) == layer

    def test_optional_facts_survive(self, backend: CompilerBackend) -> None:
        """Absent and present ones alike."""
        layer = _layer(name=None, connection_service_url="https://example.com/c", capabilities=())
        assert backend.unpack(backend.package(layer)) == layer

    def test_the_same_layer_gives_the_same_bytes(self, backend: CompilerBackend) -> None:
        """So that the same scenario is the same image."""
        assert backend.package(_layer()) == backend.package(_layer())

    def test_another_layer_gives_other_bytes(self, backend: CompilerBackend) -> None:
        """So that another scenario is another image."""
        assert backend.package(_layer()) != backend.package(_layer(version=4))

    @pytest.mark.parametrize("artifact", [b"", b"\0" * 100, b"#!/usr/bin/env python3\nprint()\n"])
    def test_what_is_no_artifact_is_refused(self, backend: CompilerBackend, artifact: bytes) -> None:
        """By the error that says so."""
        with pytest.raises(ArtifactMalformed):
            backend.unpack(artifact)

    def test_a_cut_artifact_is_refused(self, backend: CompilerBackend) -> None:
        """Wherever it was cut."""
        artifact = backend.package(_layer())
        for size in range(0, len(artifact) - 1, max(1, len(artifact) // 50)):
            with pytest.raises(ArtifactMalformed):
                backend.unpack(artifact[:size])
