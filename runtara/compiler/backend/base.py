"""The seam between the compiler and the form of its artifacts. Nothing here runs.

The compiler makes a *layer*: what this one scenario adds to the base runtime. A backend turns a layer into an artifact
and back. ``local`` makes a small executable for the server's own interpreter, ``memory`` one that stays in this
process; frozen runtimes are backends beside them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

from runtara.artifact import Manifest, encode_manifest

__all__ = ("MODULE_NAME", "CompilerBackend", "Layer")

MODULE_NAME: Final = "runtara_scenario"
"""The name of the generated module inside an artifact."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one scenario adds to the base runtime."""

    manifest: Manifest
    source: str
    """The generated module."""
    scenario: bytes
    """The scenario as canonical JSON: for people and tools, not for the run."""

    def digest(self) -> str:
        """SHA-256 of all of it."""
        parts = (encode_manifest(self.manifest), self.source.encode(), self.scenario)
        lengths = b"".join(len(part).to_bytes(8, "big") for part in parts)
        return hashlib.sha256(lengths + b"".join(parts)).hexdigest()


class CompilerBackend(Protocol):
    """One form of artifact."""

    @property
    def name(self) -> str:
        """Names the form; artifacts of two names never share a place in the cache."""

    @property
    def is_executable(self) -> bool:
        """Whether the environment can launch the artifact as a file."""

    def package(self, layer: Layer) -> bytes:
        """The artifact. The same layer gives the same bytes, at any time, on any machine."""

    def unpack(self, artifact: bytes) -> Layer:
        """The layer again.

        Raises:
            ArtifactMalformed: these bytes are no artifact of this form.
        """
