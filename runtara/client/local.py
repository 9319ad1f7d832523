"""Finding the server of this host: address, authority and token, as it left them in its data directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from runtara.datadir import DataDir
from runtara.errors import Unavailable

__all__ = ("LocalServer", "find_local_server")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """What a client on the server's host can know. Each part may be missing."""

    address: str | None
    """Of the management endpoint."""
    ca_pem: bytes | None
    token: str | None


class _Endpoints(msgspec.Struct):
    management: str | None = None


def find_local_server(data_dir: Path) -> LocalServer:
    """What the data directory says; nothing at all when there is none.

    Raises:
        Unavailable: it is there, and may not be read: another user's.
    """
    data = DataDir(data_dir.absolute())
    endpoints, ca_pem, token = (_read(path) for path in (data.endpoints, data.ca_certificate, data.admin_token))
    return LocalServer(
        address=None if endpoints is None else _address(endpoints),
        ca_pem=ca_pem,
        token=None if token is None else token.decode("ascii", "replace").strip(),
    )


def _address(endpoints: bytes) -> str | None:
    try:
        return msgspec.json.decode(endpoints, type=_Endpoints).management
    except msgspec.MsgspecError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unavailable(
            f"{str(path)!r} cannot be read: {error.strerror}",
            hint="Run this as the server's user, or set RUNTARA_ENVIRONMENT_ADDR, RUNTARA_CA_FILE and RUNTARA_TOKEN.",
        ) from error
