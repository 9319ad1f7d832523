"""The management client: how it connects. What it can ask is in ``images``, ``instances`` and ``administration``."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from runtara import __version__
from runtara.client.administration import AdministrationCalls
from runtara.client.connections import Connection, Connections
from runtara.client.images import ImageCalls
from runtara.client.instances import InstanceCalls
from runtara.client.local import find_local_server
from runtara.clock import Clock, SystemClock
from runtara.config import ClientConfig, ConfigInvalid, split_address
from runtara.protocol.messages import PROTOCOL_VERSIONS, Hello
from runtara.transport.base import Address, ClientOptions, Transport
from runtara.transport.peer import connect_peer

__all__ = ("DEFAULT_ADDRESS", "Client")

DEFAULT_ADDRESS: Final = "127.0.0.1:8002"


class Client(ImageCalls, InstanceCalls, AdministrationCalls):
    """A connection to one server's management endpoint, kept up for as long as the block runs.

    ``async with Client.connect("host:8002", token=…, ca=…) as client``. Methods may be called from any number of
    tasks at once. Requests that may be repeated are, over new connections if need be, until their time is up; others
    raise ``OutcomeUnknown``.
    """

    def __init__(
        self,
        address: Address,
        options: ClientOptions,
        *,
        transport: Transport,
        token: str | None,
        tenant_id: str | None = None,
        request_timeout_s: float = 30.0,
        connections: int = 2,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        super().__init__(
            Connections(self._dial, size=connections, clock=clock),
            request_timeout_s=request_timeout_s,
            tenant_id=tenant_id,
            clock=clock,
        )
        self.address = address
        self._options = options
        self._transport = transport
        self._hello = Hello(PROTOCOL_VERSIONS, f"runtara-client/{__version__}", token)

    @classmethod
    def connect(
        cls,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str | None = None,
        ca: bytes | str | Path | None = None,
        tenant_id: str | None = None,
        server_name: str = "localhost",
        skip_verification: bool = False,
        connect_timeout_s: float = 10.0,
        request_timeout_s: float = 30.0,
        connections: int = 2,
        quic: str | None = None,
        transport: Transport | None = None,
    ) -> Self:
        """A client of ``host:port``, which connects when its block is entered.

        Args:
            address: The management endpoint.
            token: Who you are; without one, only ``health`` is answered.
            ca: The server's certificate authority, as PEM or as the path of a PEM file.
            tenant_id: Whom methods mean when they are not told; None: the token's tenant.
            server_name: The name that the server's certificate must have.
            skip_verification: Accept any certificate. For experiments only.
            connect_timeout_s: How long a connection may take.
            request_timeout_s: How long a request may take, repeats included.
            connections: How many to share the requests over.
            quic: Insist on ``aioquic`` or ``qh3``.
            transport: Something else than QUIC.

        Raises:
            ConfigInvalid: the address is none, or the authority cannot be read.
        """
        options = ClientOptions(
            server_name=server_name,
            ca_pem=_pem(ca),
            skip_verification=skip_verification,
            connect_timeout_s=connect_timeout_s,
        )
        return cls(
            _address(address),
            options,
            transport=transport or _quic(quic),
            token=token,
            tenant_id=tenant_id,
            request_timeout_s=request_timeout_s,
            connections=connections,
        )

    @classmethod
    def configured(
        cls, config: ClientConfig, *, tenant_id: str | None = None, transport: Transport | None = None
    ) -> Self:
        """A client as the environment says; what it does not say is taken from the data directory, if it is here."""
        local = find_local_server(config.data_dir)
        return cls.connect(
            config.environment_addr or local.address or DEFAULT_ADDRESS,
            token=config.token or local.token,
            ca=config.ca_file or local.ca_pem,
            tenant_id=tenant_id,
            server_name=config.server_name,
            skip_verification=config.skip_cert_verification,
            connect_timeout_s=config.connect_timeout_ms / 1000,
            request_timeout_s=config.request_timeout_ms / 1000,
            quic=config.quic,
            transport=transport,
        )

    @classmethod
    def local(cls, data_dir: Path | str = ".data", *, tenant_id: str | None = None) -> Self:
        """A client of the server that runs on this host with that data directory."""
        return cls.configured(ClientConfig(data_dir=Path(data_dir)), tenant_id=tenant_id)

    async def __aenter__(self) -> Self:
        """See ``open``."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Connected when this returns. Safe to repeat.

        Raises:
            BadCredential: the token is refused, or the server is not the pinned one.
            Unavailable: nobody answers.
        """
        await self._connections.get()

    async def aclose(self) -> None:
        """End all connections; requests on their way fail. Safe twice."""
        self._connections.close()

    async def _dial(self) -> Connection:
        connection = Connection()
        await connect_peer(
            self._transport,
            self.address,
            self._options,
            self._hello,
            connection,
            timeout_s=self._options.connect_timeout_s,
        )
        return connection


def _address(written: str) -> Address:
    try:
        return Address(*split_address(written))
    except ValueError as error:
        raise ConfigInvalid(str(error), hint="Write host:port, an IPv6 host in brackets.") from None


def _pem(ca: bytes | str | Path | None) -> bytes | None:
    if ca is None or isinstance(ca, bytes):
        return ca
    try:
        return Path(ca).read_bytes()
    except OSError as error:
        raise ConfigInvalid(
            f"the certificate authority {str(ca)!r} cannot be read: {error.strerror}",
            hint="It is the file tls/ca.pem of the server's data directory.",
        ) from error


def _quic(library: str | None) -> Transport:
    # Not at the top: loading a QUIC library takes longer than most commands that turn out not to need one.
    from runtara.transport.quic import quic_transport

    return quic_transport(library)
