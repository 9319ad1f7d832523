"""The manifest of an artifact, and the identity of the base runtime that it was compiled for.

Hosts read the manifest when they register an image, guests when they start it; both import this module, so it loads
nothing heavy. An artifact without a manifest is a plain Python program.

The identity covers what compiled code relies on and nothing else: the ABI of ``runtara.stdlib``, the version of Python,
and the contracts of the capabilities that the scenario uses. Other agents may come, go and change freely.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtara.dsl.catalog import Catalog, installed_catalog
from runtara.errors import InvalidRequest, UnsupportedVersion
from runtara.limits import MANIFEST_BYTES_MAX

if TYPE_CHECKING:
    import zipfile

__all__ = (
    "MANIFEST_NAME",
    "STDLIB_ABI",
    "ArtifactMalformed",
    "Manifest",
    "check_runtime",
    "decode_manifest",
    "encode_manifest",
    "read_manifest",
    "runtime_identity",
)

STDLIB_ABI: Final = 2
"""Counts the incompatible changes of what generated code imports from ``runtara.stdlib``."""

MANIFEST_NAME: Final = "runtara.json"
"""The manifest's name in an artifact."""


class ArtifactMalformed(InvalidRequest):
    """The artifact has a manifest or a layout that this version cannot read."""

    code = "image.malformed"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an artifact says about itself. Fields of a newer compiler are passed over."""

    format: int = 1
    kind: str = "scenario"
    dsl_version: str
    scenario_id: str
    version: int
    name: str | None
    runtime: str
    """See ``runtime_identity``."""
    capabilities: tuple[str, ...]
    """What it calls, as ``agent/capability``, sorted."""
    source_digest: str
    """SHA-256 of the scenario's canonical JSON."""
    connection_service_url: str | None = None
    memory_tier: str | None = None
    """``S``, ``M``, ``L`` or ``XL``."""
    execution_timeout_s: int | None = None
    """How long an attempt may run where the start does not say otherwise."""

    @property
    def agents(self) -> tuple[str, ...]:
        """The ids of the agents that it uses, sorted."""
        return tuple(sorted({capability.partition("/")[0] for capability in self.capabilities}))


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON that people can read; the same manifest gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """The manifest again. Raises ``ArtifactMalformed``."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ArtifactMalformed(f"the manifest of the artifact is malformed: {error}") from error
    if manifest.format != 1:
        raise UnsupportedVersion(
            f"the artifact has format {manifest.format}, and this version of Runtara reads format 1",
            hint="Compile the scenario again with this version.",
        )
    return manifest


def read_manifest(path: Path) -> Manifest | None:
    """The manifest of an artifact; None when it has none, as a plain Python program.

    Raises:
        ArtifactMalformed: there is one, and it cannot be read.
    """
    import zipfile  # 10 ms that a guest, which reads its manifest through its loader, does not have to pay

    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if MANIFEST_NAME not in archive.namelist():
                return None
            return decode_manifest(_read_member(archive, MANIFEST_NAME, bytes_max=MANIFEST_BYTES_MAX))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        # zipfile raises the last two for a compression or an encryption that it does not know.
        raise ArtifactMalformed(f"the artifact is not a readable zip file: {error}") from error


def _read_member(archive: zipfile.ZipFile, name: str, *, bytes_max: int) -> bytes:
    with archive.open(name) as member:
        data = member.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise ArtifactMalformed(f"{name} of the artifact is larger than {bytes_max} bytes")
    return data


def runtime_identity(capabilities: Iterable[str] = (), *, catalog: Catalog | None = None) -> str:
    """The digest that names the base runtime, as far as an artifact with these capabilities relies on it.

    Args:
        capabilities: As ``agent/capability``.
        catalog: The agents of the runtime; by default those of this installation.

    Raises:
        UnsupportedVersion: this installation lacks one of them.
    """
    parts: list[Any] = [STDLIB_ABI, f"{sys.version_info.major}.{sys.version_info.minor}"]
    catalog = catalog or installed_catalog()
    parts += [_contract(capability, catalog) for capability in sorted(set(capabilities))]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _contract(capability: str, catalog: Catalog) -> Any:
    agent_id, _, capability_id = capability.partition("/")
    agent = catalog.find_agent(agent_id)
    found = agent.find_capability(capability_id) if agent is not None else None
    if found is None:
        raise UnsupportedVersion(
            f"this runtime has no capability {capability!r}",
            hint=f"Install the package that provides the agent {agent_id!r}.",
            capability=capability,
        )
    return (agent_id, found.contract())


def check_runtime(manifest: Manifest) -> None:
    """Returns when this runtime is the one that the artifact was compiled for.

    Raises:
        UnsupportedVersion: it is another one, or lacks a capability.
    """
    identity = runtime_identity(manifest.capabilities)
    if identity != manifest.runtime:
        raise UnsupportedVersion(
            f"the artifact of {manifest.scenario_id!r} was compiled for the runtime {manifest.runtime[:12]},"
            f" and this is {identity[:12]}",
            hint="Compile the scenario again with this version of Runtara and of its agents.",
            expected=manifest.runtime,
            actual=identity,
        )
