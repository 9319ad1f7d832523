"""Artifacts that stay in this process, and generated modules that run in it. See ``base``."""

from __future__ import annotations

from types import ModuleType

import msgspec

from runtara.artifact import ArtifactMalformed, Manifest
from runtara.compiler.backend.base import MODULE_NAME, Layer

__all__ = ("MemoryBackend", "load_module")


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    manifest: Manifest
    source: str
    scenario: bytes


class MemoryBackend:
    """See the module."""

    name = "memory"
    is_executable = False

    def package(self, layer: Layer) -> bytes:
        """See ``CompilerBackend.package``."""
        return msgspec.msgpack.encode(_Packed(layer.manifest, layer.source, layer.scenario))

    def unpack(self, artifact: bytes) -> Layer:
        """See ``CompilerBackend.unpack``."""
        try:
            packed = msgspec.msgpack.decode(artifact, type=_Packed)
        except msgspec.MsgspecError as error:
            raise ArtifactMalformed(f"this is no artifact of the memory compiler: {error}") from error
        return Layer(packed.manifest, packed.source, packed.scenario)


def load_module(layer: Layer) -> ModuleType:
    """The generated module of a layer, executed in this process, under no name that anybody could import."""
    module = ModuleType(MODULE_NAME)
    code = compile(layer.source, f"<scenario {layer.manifest.scenario_id}>", "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module
