"""Where things lie under DATA_DIR: names only. The server writes them; a client on the same host reads a few."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ("DataDir",)


@dataclass(frozen=True, slots=True)
class DataDir:
    """The layout of one server's directory. Asking for a path creates nothing."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the running server."""
        return self.root / "server.lock"

    @property
    def identity(self) -> Path:
        """The server's name, for ever: a server restarted on its directory is the same server."""
        return self.root / "server-name"

    @property
    def endpoints(self) -> Path:
        """JSON: where the running server listens. Removed when it stops in order."""
        return self.root / "server.json"

    @property
    def admin_token(self) -> Path:
        """An administrator's token, readable by the server's user only."""
        return self.root / "admin-token"

    @property
    def ca_certificate(self) -> Path:
        """What clients pin."""
        return self.root / "tls" / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """Signs server certificates."""
        return self.root / "tls" / "ca.key"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.root / "tls" / "server.pem"

    @property
    def certificate_key(self) -> Path:
        """Its private key."""
        return self.root / "tls" / "server.key"

    @property
    def postgres(self) -> Path:
        """The private PostgreSQL, when there is one."""
        return self.root / "postgres"

    @property
    def images(self) -> Path:
        """Verified copies of images by digest; may be deleted while no server runs."""
        return self.root / "images"

    @property
    def instances(self) -> Path:
        """Scratch directories and logs of instances."""
        return self.root / "instances"

    @property
    def uploads(self) -> Path:
        """Uploads on their way; emptied at every start."""
        return self.root / "uploads"
