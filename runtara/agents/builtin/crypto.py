"""Digests of texts and files, with and without a secret. Source: dsl.md §12.10."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from runtara.agents.builtin.files import bytes_of
from runtara.agents.capability import agent, capability

__all__ = ("Crypto", "Digest")

_Algorithm = Literal["sha256", "sha512", "sha1", "md5"]
_KeyedAlgorithm = Literal["hmac-sha256", "hmac-sha512"]
_Format = Annotated[Literal["hex", "base64"], Meta(description="How the digest is written.")]
_Data = Annotated[Any, Meta(description="A text, which counts as its UTF-8; a file; or a list of bytes.")]

_OF_KEYED: Final[Mapping[_KeyedAlgorithm, _Algorithm]] = {"hmac-sha256": "sha256", "hmac-sha512": "sha512"}


class Digest(msgspec.Struct, frozen=True):
    """What ``hash`` and ``hmac`` return."""

    hash: str
    algorithm: str
    format: str


@agent(id="crypto", name="Crypto")
class Crypto:
    """Digests of texts and files, with and without a secret."""

    @capability(side_effects=False)
    def hash(
        self,
        data: _Data,
        algorithm: Annotated[
            _Algorithm, Meta(description="sha1 and md5 are for old peers; they protect nothing.")
        ] = "sha256",
        output_format: _Format = "hex",
    ) -> Digest:
        """The digest of the data."""
        digest = hashlib.new(algorithm, _bytes(data), usedforsecurity=False).digest()
        return Digest(_written(digest, output_format), algorithm, output_format)

    @capability(side_effects=False)
    def hmac(
        self,
        data: _Data,
        secret: Annotated[str, Meta(description="The key, which counts as its UTF-8.")],
        algorithm: Annotated[_KeyedAlgorithm, Meta(description="The algorithm.")] = "hmac-sha256",
        output_format: _Format = "hex",
    ) -> Digest:
        """The digest of the data that only who knows the secret can make: a signature."""
        digest = hmac.digest(secret.encode(), _bytes(data), _OF_KEYED[algorithm])
        return Digest(_written(digest, output_format), algorithm, output_format)


def _bytes(data: Any) -> bytes:
    return data.encode() if isinstance(data, str) else bytes_of(data)


def _written(digest: bytes, output_format: str) -> str:
    return digest.hex() if output_format == "hex" else base64.b64encode(digest).decode()
