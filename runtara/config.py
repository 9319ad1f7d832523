"""The only reader of the environment: every setting with its unit, default and range, as one table per role.

A class of this module *is* its table: each field says which variable sets it. Values are checked in the same way
whether they come from a variable or from a constructor, and a value that cannot be used is an error that names the
variable, the value and what would be right; nothing falls back to a default in silence. ``runtara config`` prints all.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

from runtara.errors import InvalidRequest
from runtara.limits import ATTEMPTS_WITHOUT_PROGRESS_MAX

__all__ = (
    "REFUSED",
    "ROLES",
    "ClientConfig",
    "CompilerConfig",
    "ConfigInvalid",
    "Found",
    "GuestConfig",
    "Kind",
    "Refused",
    "ScenarioConfig",
    "ServerConfig",
    "Setting",
    "choice",
    "environ_subset",
    "export",
    "integer",
    "is_loopback",
    "look_up",
    "mask_url",
    "native_choice",
    "number",
    "required",
    "setting",
    "settings_of",
    "split_address",
    "take_launch_fd",
    "text",
    "unknown_variables",
)

logger = logging.getLogger(__name__)


class ConfigInvalid(InvalidRequest):
    """A setting is missing, cannot be used or is refused; ``variable`` is an attribute. Nothing was started."""

    code = "config.invalid"


# ---- kinds of values


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a text becomes a value, and which values are right."""

    parse: Callable[[str], Any]
    """Raises ``ValueError`` for a text that is no such value."""
    accepts: Callable[[Any], bool]
    expects: str
    """Ends the sentence "it must be …"."""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None


def _parse_integer(value: str) -> int:
    # int() alone would also take "8_001", " 1" and digits of other scripts.
    if re.fullmatch(r"-?[0-9]{1,20}", value) is None:
        raise ValueError(value)
    return int(value)


def integer(minimum: int, maximum: int, unit: str) -> Kind:
    """Whole numbers in a range, both ends included."""
    return Kind(
        parse=_parse_integer,
        accepts=lambda value: isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum,
        expects=f"a whole number from {minimum} to {maximum} ({unit})",
        unit=unit,
        minimum=minimum,
        maximum=maximum,
    )


def number(minimum: float, maximum: float, unit: str) -> Kind:
    """Numbers in a range, both ends included."""
    return Kind(
        parse=float,
        accepts=lambda value: isinstance(value, int | float) and minimum <= value <= maximum,
        expects=f"a number from {minimum:.15g} to {maximum:.15g} ({unit})",
        unit=unit,
        minimum=minimum,
        maximum=maximum,
    )


def choice(*values: str) -> Kind:
    """One of a few words."""
    return Kind(parse=str, accepts=lambda value: value in values, expects=" or ".join(values))


def text(expects: str) -> Kind:
    """Any text but the empty one, on one line."""
    return Kind(parse=str, accepts=lambda value: isinstance(value, str) and _is_line(value), expects=expects)


def _is_line(value: str) -> bool:
    return bool(value.strip()) and value.isprintable()


_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _parse_boolean(value: str) -> bool:
    truth = _TRUTHS.get(value.strip().lower())
    if truth is None:
        raise ValueError(value)
    return truth


def split_address(value: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[::1]:port``. Raises ``ValueError``."""
    host, colon, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare and bare == host) or not _is_line(bare):
        raise ValueError(f"{value!r} is no address")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{value!r} is no address")
    return bare, int(port)


def _is_address(value: Any) -> bool:
    try:
        split_address(value)
    except ValueError:
        return False
    return True


def _is_database_url(value: Any) -> bool:
    if not isinstance(value, str) or not value.isprintable():
        return False
    # libpq's other form: key=value pairs.
    return value.startswith(("postgresql://", "postgres://")) or re.match(r"\s*[a-z_]+\s*=", value) is not None


BOOLEAN = Kind(parse=_parse_boolean, accepts=lambda value: isinstance(value, bool), expects="true or false")
PATH = Kind(parse=Path, accepts=lambda value: isinstance(value, Path), expects="a path")
ADDRESS = Kind(parse=str, accepts=_is_address, expects="host:port, an IPv6 host in brackets")
DATABASE_URL = Kind(
    parse=str,
    accepts=_is_database_url,
    expects="a connection string of PostgreSQL, such as postgresql://user@host/database",
)
PORT = integer(0, 65535, "port, 0 lets the system choose")
QUIC = choice("aioquic", "qh3")


# ---- settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable: what it sets, and what may stand in it."""

    name: str
    kind: Kind
    default: Any
    meaning: str
    required: bool = False
    secret: bool = False
    shown_default: str | None = None
    """What the default means, where the value alone (None) does not say it."""


_SETTING: Final = "setting"


def setting(
    name: str, kind: Kind, default: Any, meaning: str, *, secret: bool = False, shown_default: str | None = None
) -> Any:
    """A field of a role's table. A default of None means: not set."""
    row = Setting(name=name, kind=kind, default=default, meaning=meaning, secret=secret, shown_default=shown_default)
    return field(default=default, repr=not secret, metadata={_SETTING: row})


def required(name: str, kind: Kind, meaning: str) -> Any:
    """A field without which the role cannot start."""
    return field(metadata={_SETTING: Setting(name=name, kind=kind, default=None, meaning=meaning, required=True)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A variable of the reference that has no meaning here; setting it stops the roles that would have read it."""

    name: str
    roles: tuple[str, ...]
    reason: str
    instead: str


REFUSED: Final = (
    Refused(
        name="BUNDLES_DIR",
        roles=("server",),
        reason="it belongs to the OCI runner, and this server runs instances as processes",
        instead="Unset it; images and run directories live under DATA_DIR.",
    ),
    Refused(
        name="USE_SYSTEMD_CGROUP",
        roles=("server",),
        reason="it belongs to the OCI runner, and this server runs instances as processes",
        instead="Unset it; RUNTARA_INSTANCE_MEMORY_BYTES_MAX limits an instance.",
    ),
    Refused(
        name="RUNTARA_SIGNAL_POLL_INTERVAL_MS",
        roles=("server", "guest"),
        reason="signals are pushed to the instance the moment they are stored, so nothing polls",
        instead="Unset it.",
    ),
    Refused(
        name="RUNTARA_NATIVE_LIBRARY_DIR",
        roles=("server", "compiler"),
        reason="scenarios are compiled to Python, so there are no libraries to link",
        instead="Unset it; packages with the entry-point group runtara.agents add agents.",
    ),
    Refused(
        name="RUNTARA_STDLIB_NAME",
        roles=("server", "compiler"),
        reason="there is one standard library, and packages extend it",
        instead="Unset it; packages with the entry-point group runtara.agents add agents.",
    ),
)


class _Table:
    """What the role classes share: reading, checking, refusing."""

    def __post_init__(self) -> None:
        for name, row in settings_of(type(self)):
            value = getattr(self, name)
            if not (value is None and row.default is None and not row.required) and not row.kind.accepts(value):
                raise _wrong(row, value)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """The settings of this environment (of this process when None); ``given`` fields win, None is not given.

        Variables that begin with ``RUNTARA_`` and mean nothing are logged as warnings.

        Raises:
            ConfigInvalid: a variable is required and absent, cannot be used, or is refused.
        """
        environ = os.environ if environ is None else environ
        _refuse(ROLE_OF[cls], environ)
        if cls is not _Process:
            _warn_of_unknown(environ)
        values = {name: value for name, value in given.items() if value is not None}
        for name, row in settings_of(cls):
            if name not in values and (row.required or row.name in environ):
                values[name] = _read(row, environ)
        return cls(**values)


def settings_of(role: type[Any]) -> Iterator[tuple[str, Setting]]:
    """Field name and setting, in the order of the table."""
    for item in fields(role):
        if _SETTING in item.metadata:
            yield item.name, item.metadata[_SETTING]


def _read(row: Setting, environ: Mapping[str, str]) -> Any:
    written = environ.get(row.name)
    if written is None:
        raise ConfigInvalid(
            f"{row.name} is not set", hint=f"Set it to {row.kind.expects}: {row.meaning}", variable=row.name
        )
    try:
        value = row.kind.parse(written)
    except ValueError:
        raise _wrong(row, written) from None
    if not written or not row.kind.accepts(value):
        raise _wrong(row, written)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one setting is now, for people: nothing of it is an error yet."""

    value: Any
    is_set: bool
    problem: str | None = None


def look_up(row: Setting | Refused, environ: Mapping[str, str] | None = None) -> Found:
    """A setting's value, or what is wrong with the variable. A secret comes masked."""
    environ = os.environ if environ is None else environ
    is_set = row.name in environ
    if isinstance(row, Refused):
        return Found(value=None, is_set=is_set, problem=f"{row.name} is refused: {row.reason}" if is_set else None)
    if not is_set:
        return Found(value=row.default, is_set=False)
    try:
        value = _read(row, environ)
    except ConfigInvalid as error:
        return Found(value=None, is_set=True, problem=error.message)
    return Found(value=_masked(row, value) if row.secret else value, is_set=True)


def _masked(row: Setting, value: str) -> str:
    return mask_url(value) if row.kind is DATABASE_URL else "***"


def _wrong(row: Setting, value: Any) -> ConfigInvalid:
    shown = "(hidden)" if row.secret else repr(mask_url(value) if isinstance(value, str) else value)
    return ConfigInvalid(f"{row.name} is {shown}; it must be {row.kind.expects}", hint=row.meaning, variable=row.name)


def _refuse(role: str, environ: Mapping[str, str]) -> None:
    for refused in REFUSED:
        if role in refused.roles and refused.name in environ:
            raise ConfigInvalid(
                f"{refused.name} is refused: {refused.reason}", hint=refused.instead, variable=refused.name
            )


def _warn_of_unknown(environ: Mapping[str, str]) -> None:
    for name, nearest in unknown_variables(environ):
        logger.warning("%s means nothing%s", name, f"; is it {nearest}?" if nearest else "")


_DATA_DIR_HELP: Final = (
    "The server's directory: identity, certificates, image cache, run directories, embedded database."
)
_SKIP_HELP: Final = "Accept any server certificate. For experiments only: whoever sits between can read and change all."
_QUIC_HELP: Final = "Insist on one QUIC library; both ends use the same."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig(_Table):
    """What ``runtara serve`` and ``RuntaraServer`` need to know."""

    database_url: str | None = setting(
        "RUNTARA_DATABASE_URL",
        DATABASE_URL,
        None,
        "The PostgreSQL (14 or newer) that holds everything.",
        secret=True,
        shown_default="a private PostgreSQL under DATA_DIR",
    )
    environment_database_url: str | None = setting(
        "RUNTARA_ENVIRONMENT_DATABASE_URL",
        DATABASE_URL,
        None,
        "Another name of RUNTARA_DATABASE_URL: core and environment share one database.",
        secret=True,
        shown_default="RUNTARA_DATABASE_URL",
    )
    data_dir: Path = setting("DATA_DIR", PATH, Path(".data"), _DATA_DIR_HELP)
    # The reference listens on every interface. Here that has to be asked for: a server that is reachable from
    # elsewhere is a decision, not a default.
    bind_host: str = setting(
        "RUNTARA_BIND_HOST", text("a host name or address"), "127.0.0.1", "Where the endpoints listen."
    )
    quic_port: int = setting("RUNTARA_QUIC_PORT", PORT, 8001, "The instance endpoint (UDP).")
    env_quic_port: int = setting("RUNTARA_ENV_QUIC_PORT", PORT, 8002, "The management endpoint (UDP).")
    admin_port: int = setting("RUNTARA_ADMIN_PORT", PORT, 8003, "The management view of a --core-only server (UDP).")
    core_addr: str | None = setting(
        "RUNTARA_CORE_ADDR",
        ADDRESS,
        None,
        "The instance endpoint that instances launched here connect to; its server must use the same database.",
        shown_default="the own instance endpoint",
    )
    max_concurrent_instances: int = setting(
        "RUNTARA_MAX_CONCURRENT_INSTANCES", integer(1, 100_000, "instances"), 32, "How many may run here at once."
    )
    execution_timeout_s: float = setting(
        "EXECUTION_TIMEOUT_SECS",
        number(1, 31_536_000, "seconds"),
        300,
        "How long an attempt may run when its start does not say.",
    )
    max_attempts_without_progress: int = setting(
        "RUNTARA_MAX_ATTEMPTS_WITHOUT_PROGRESS",
        integer(1, 1000, "attempts"),
        ATTEMPTS_WITHOUT_PROGRESS_MAX,
        "Crashes in a row without a new checkpoint before an instance is failed.",
    )
    sleep_threshold_s: float = setting(
        "RUNTARA_SLEEP_THRESHOLD_SECS",
        number(0, 86_400, "seconds"),
        30,
        "A durable sleep longer than this ends the process; it is launched again when the time has come.",
    )
    instance_memory_bytes_max: int = setting(
        "RUNTARA_INSTANCE_MEMORY_BYTES_MAX",
        integer(64 * 1024**2, 1024**4, "bytes"),
        2 * 1024**3,
        "Address space of one instance.",
    )
    runner: str = setting("RUNTARA_RUNNER", choice("process"), "process", "How instances are run.")
    lease_s: float = setting(
        "RUNTARA_LEASE_SECS",
        number(1, 3600, "seconds"),
        10,
        "How long after its last sign of life other servers on the database wait before they take over.",
    )
    drain_s: float = setting(
        "RUNTARA_DRAIN_SECS", number(0, 3600, "seconds"), 20, "How long a stop waits for instances to suspend."
    )
    db_pool_size: int = setting(
        "RUNTARA_DB_POOL_SIZE", integer(3, 1000, "connections"), 8, "Connections to the database."
    )
    db_connect_timeout_s: float = setting(
        "RUNTARA_DB_CONNECT_TIMEOUT_SECS",
        number(0.1, 600, "seconds"),
        5,
        "How long the start waits for the database to answer.",
    )
    quic: str | None = setting("RUNTARA_QUIC", QUIC, None, _QUIC_HELP, shown_default="qh3 when installed")
    skip_cert_verification: bool = setting("RUNTARA_SKIP_CERT_VERIFICATION", BOOLEAN, False, _SKIP_HELP)
    log_level: str = setting(
        "RUNTARA_LOG_LEVEL", choice("debug", "info", "warning", "error"), "info", "What ``runtara serve`` says."
    )
    core_only: bool = False
    """Durability without managed processes."""
    insecure_dev: bool = False
    """Management without tokens; allowed on loopback only. A flag, so that no forgotten variable opens a server."""

    def __post_init__(self) -> None:
        # Not super(): slots=True makes another class of this one.
        _Table.__post_init__(self)
        given = {url for url in (self.database_url, self.environment_database_url) if url is not None}
        if len(given) > 1:
            raise ConfigInvalid(
                "RUNTARA_ENVIRONMENT_DATABASE_URL differs from RUNTARA_DATABASE_URL, and both share one database",
                hint="Unset one of them.",
                variable="RUNTARA_ENVIRONMENT_DATABASE_URL",
            )
        if self.insecure_dev and not is_loopback(self.bind_host):
            raise ConfigInvalid(
                f"--insecure-dev is refused on {self.bind_host!r}: everybody who reaches it could do everything",
                hint="Listen on 127.0.0.1, or leave the flag out and use tokens.",
                variable="RUNTARA_BIND_HOST",
            )

    @property
    def postgres_url(self) -> str | None:
        """The database to use, by either of its names; None: start a private one."""
        return self.database_url or self.environment_database_url


def is_loopback(host: str) -> bool:
    """True when only this machine can reach a socket on that host."""
    return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestConfig(_Table):
    """What a program that nobody launched needs to reach its server; a launched one gets a launch record."""

    instance_id: str = required("RUNTARA_INSTANCE_ID", text("a name"), "The instance that this program is.")
    tenant_id: str = required("RUNTARA_TENANT_ID", text("a name"), "The tenant that it belongs to.")
    server_addr: str = setting("RUNTARA_SERVER_ADDR", ADDRESS, "127.0.0.1:8001", "The server's instance endpoint.")
    server_name: str = setting(
        "RUNTARA_SERVER_NAME", text("a host name"), "localhost", "The name that the server's certificate must have."
    )
    skip_cert_verification: bool = setting("RUNTARA_SKIP_CERT_VERIFICATION", BOOLEAN, False, _SKIP_HELP)
    ca_file: Path | None = setting("RUNTARA_CA_FILE", PATH, None, "The server's certificate authority (PEM).")
    token: str | None = setting("RUNTARA_TOKEN", text("a token"), None, "A token of the tenant.", secret=True)
    connect_timeout_ms: int = setting(
        "RUNTARA_CONNECT_TIMEOUT_MS", integer(1, 600_000, "milliseconds"), 10_000, "How long a connection may take."
    )
    request_timeout_ms: int = setting(
        "RUNTARA_REQUEST_TIMEOUT_MS", integer(1, 3_600_000, "milliseconds"), 30_000, "How long an answer may take."
    )
    sleep_threshold_s: float = setting(
        "RUNTARA_SLEEP_THRESHOLD_SECS", number(0, 86_400, "seconds"), 30, "Longer sleeps end the process."
    )
    quic: str | None = setting("RUNTARA_QUIC", QUIC, None, _QUIC_HELP, shown_default="qh3 when installed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioConfig(_Table):
    """What a running scenario reads; the start of its instance gives it (``runtara start --env``)."""

    connection_service_url: str | None = setting(
        "CONNECTION_SERVICE_URL",
        text("an http or https URL"),
        None,
        "The service that knows the connections of steps; it overrides the one that the scenario was compiled with.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig(_Table):
    """What ``runtara.client`` and the command need to reach a server."""

    environment_addr: str | None = setting(
        "RUNTARA_ENVIRONMENT_ADDR",
        ADDRESS,
        None,
        "The server's management endpoint.",
        shown_default="that of the server on DATA_DIR, else 127.0.0.1:8002",
    )
    token: str | None = setting(
        "RUNTARA_TOKEN",
        text("a token"),
        None,
        "Who you are.",
        secret=True,
        shown_default="the administrator's token in DATA_DIR",
    )
    ca_file: Path | None = setting(
        "RUNTARA_CA_FILE",
        PATH,
        None,
        "The server's certificate authority (PEM).",
        shown_default="the one in DATA_DIR",
    )
    data_dir: Path = setting("DATA_DIR", PATH, Path(".data"), _DATA_DIR_HELP)
    server_name: str = setting(
        "RUNTARA_SERVER_NAME", text("a host name"), "localhost", "The name that the server's certificate must have."
    )
    skip_cert_verification: bool = setting("RUNTARA_SKIP_CERT_VERIFICATION", BOOLEAN, False, _SKIP_HELP)
    connect_timeout_ms: int = setting(
        "RUNTARA_CONNECT_TIMEOUT_MS", integer(1, 600_000, "milliseconds"), 10_000, "How long a connection may take."
    )
    request_timeout_ms: int = setting(
        "RUNTARA_REQUEST_TIMEOUT_MS", integer(1, 3_600_000, "milliseconds"), 30_000, "How long an answer may take."
    )
    quic: str | None = setting("RUNTARA_QUIC", QUIC, None, _QUIC_HELP, shown_default="qh3 when installed")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerConfig(_Table):
    """What the compiler needs to know."""

    data_dir: Path = setting("DATA_DIR", PATH, Path(".data"), "Where compiled artifacts are kept (``cache/``).")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process(_Table):
    """Settings of every process, whatever its role; they are read where they are needed, at import."""

    native: str | None = setting(
        "RUNTARA_NATIVE",
        choice("c", "python"),
        None,
        "Insist on the C or on the Python implementation of the batch routines.",
        shown_default="c where it is built",
    )


ROLES: Final[Mapping[str, type[Any]]] = {
    "server": ServerConfig,
    "guest": GuestConfig,
    "scenario": ScenarioConfig,
    "client": ClientConfig,
    "compiler": CompilerConfig,
    "process": _Process,
}
ROLE_OF: Final[Mapping[type[Any], str]] = {table: role for role, table in ROLES.items()}


# ---- the environment itself


def native_choice(environ: Mapping[str, str] | None = None) -> str | None:
    """``c``, ``python``, or None for the best there is. Raises ``ConfigInvalid``."""
    return _Process.from_env(environ).native


def take_launch_fd() -> int | None:
    """The descriptor of the launch record, once: the variable is removed. None for a program that nobody launched."""
    written = os.environ.pop("RUNTARA_LAUNCH_FD", None)
    if written is None:
        return None
    if not written.isascii() or not written.isdigit():
        raise ConfigInvalid(f"RUNTARA_LAUNCH_FD is {written!r}; it must be a descriptor", variable="RUNTARA_LAUNCH_FD")
    return int(written)


def export(variables: Mapping[str, str]) -> None:
    """Set variables of this process, for programs that read them."""
    os.environ.update(variables)


def environ_subset(names: Iterable[str]) -> dict[str, str]:
    """Those of the named variables that this process has: all that a child may inherit."""
    return {name: os.environ[name] for name in names if name in os.environ}


_ELSEWHERE: Final = frozenset({"RUNTARA_LAUNCH_FD", "RUNTARA_CHECKPOINT_ID"})


def _known_names() -> frozenset[str]:
    own = {row.name for table in ROLES.values() for _, row in settings_of(table)}
    return frozenset(own | {refused.name for refused in REFUSED} | _ELSEWHERE)


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[tuple[str, str | None]]:
    """Variables that begin with ``RUNTARA_`` and mean nothing, each with the name that was perhaps meant."""
    environ = os.environ if environ is None else environ
    from difflib import get_close_matches  # rarely needed, and the command should start fast

    known = sorted(_known_names())
    strangers = sorted(name for name in environ if name.startswith("RUNTARA_") and name not in known)
    return [(name, next(iter(get_close_matches(name, known, n=1)), None)) for name in strangers]


_PASSWORD: Final = re.compile(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)")


def mask_url(url: str) -> str:
    """The connection string without its password, for people and logs; any other text comes back as it is."""
    scheme, separator, rest = url.partition("://")
    # The password may itself hold an "@" or "/", so everything up to the last "@" counts as credentials.
    credentials, at, address = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    masked = f"{scheme}{separator}{user}{':***' if colon else ''}{at}{address}"
    return _PASSWORD.sub(r"\1***", masked)
