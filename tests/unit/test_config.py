import logging
import re
from pathlib import Path

import pytest

from runtara import config
from runtara.config import (
    REFUSED,
    ROLES,
    ClientConfig,
    ConfigInvalid,
    GuestConfig,
    ServerConfig,
    mask_url,
    settings_of,
    split_address,
    unknown_variables,
)
from runtara.protocol.launch import LAUNCH_FD_VARIABLE

GUEST = {"RUNTARA_INSTANCE_ID": "i-1", "RUNTARA_TENANT_ID": "acme"}

# Name, default, field, role: the tables of the reference's README, as far as they are not refused.
REFERENCE = [
    ("RUNTARA_DATABASE_URL", None, "database_url", ServerConfig),
    ("RUNTARA_QUIC_PORT", 8001, "quic_port", ServerConfig),
    ("RUNTARA_ADMIN_PORT", 8003, "admin_port", ServerConfig),
    ("RUNTARA_MAX_CONCURRENT_INSTANCES", 32, "max_concurrent_instances", ServerConfig),
    ("RUNTARA_ENVIRONMENT_DATABASE_URL", None, "environment_database_url", ServerConfig),
    ("RUNTARA_ENV_QUIC_PORT", 8002, "env_quic_port", ServerConfig),
    ("RUNTARA_CORE_ADDR", None, "core_addr", ServerConfig),
    ("DATA_DIR", Path(".data"), "data_dir", ServerConfig),
    ("RUNTARA_SKIP_CERT_VERIFICATION", False, "skip_cert_verification", ServerConfig),
    ("EXECUTION_TIMEOUT_SECS", 300, "execution_timeout_s", ServerConfig),
    ("RUNTARA_SERVER_ADDR", "127.0.0.1:8001", "server_addr", GuestConfig),
    ("RUNTARA_SERVER_NAME", "localhost", "server_name", GuestConfig),
    ("RUNTARA_CONNECT_TIMEOUT_MS", 10_000, "connect_timeout_ms", GuestConfig),
    ("RUNTARA_REQUEST_TIMEOUT_MS", 30_000, "request_timeout_ms", GuestConfig),
]
NUMERIC = [
    (table, name, row)
    for table in ROLES.values()
    for name, row in settings_of(table)
    if row.kind.minimum is not None and row.kind.maximum is not None
]


def environ_for(table, **variables):
    return (GUEST if table is GuestConfig else {}) | variables


@pytest.mark.parametrize(("variable", "default", "field", "table"), REFERENCE, ids=lambda value: str(value))
def test_a_variable_of_the_reference_has_its_default(variable, default, field, table):
    assert getattr(table.from_env(environ_for(table)), field) == default
    assert dict(settings_of(table))[field].name == variable


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_a_refused_variable_stops_the_start_and_says_why(refused):
    for role in refused.roles:
        table = ROLES[role]
        with pytest.raises(ConfigInvalid, match=f"{refused.name} is refused") as caught:
            table.from_env(environ_for(table, **{refused.name: "x"}))
        assert caught.value.hint == refused.instead


def test_every_variable_of_the_reference_is_a_setting_or_refused():
    readme = Path("/work/shared/reference-readme.md")
    if not readme.exists():
        pytest.skip("the reference's README is not on this machine")
    named = set(re.findall(r"^\| `([A-Z_]+)` \|", readme.read_text(), re.MULTILINE))
    assert len(named) >= 19
    assert named <= config._known_names()


@pytest.mark.parametrize(("table", "field", "row"), NUMERIC, ids=lambda value: getattr(value, "name", None))
def test_a_number_is_accepted_at_both_ends_and_refused_one_past_them(table, field, row):
    low, high = row.kind.minimum, row.kind.maximum
    for right in (low, high):
        read = table.from_env(environ_for(table, **{row.name: f"{right:.10g}" if right % 1 else str(int(right))}))
        assert getattr(read, field) == right
    for wrong in (low - 1, high + 1):
        with pytest.raises(ConfigInvalid, match=row.name) as caught:
            table.from_env(environ_for(table, **{row.name: str(int(wrong))}))
        assert str(int(wrong)) in caught.value.message
        assert row.kind.unit in caught.value.message


@pytest.mark.parametrize("written", ["", " ", "abc", "80 01", "1e3", "0x10", "8001\n8002", "-", "٣", "8_001", " 1"])
def test_what_is_no_port_is_an_error_that_quotes_it(written):
    with pytest.raises(ConfigInvalid) as caught:
        ServerConfig.from_env({"RUNTARA_QUIC_PORT": written})
    assert caught.value.message == (
        f"RUNTARA_QUIC_PORT is {written!r}; it must be a whole number from 0 to 65535 (port, 0 lets the system choose)"
    )
    assert caught.value.attributes == {"variable": "RUNTARA_QUIC_PORT"}


@pytest.mark.parametrize("written", ["nan", "inf", "-inf"])
def test_what_is_not_finite_is_no_duration(written):
    with pytest.raises(ConfigInvalid):
        ServerConfig.from_env({"RUNTARA_LEASE_SECS": written})


@pytest.mark.parametrize(("written", "means"), [("true", True), ("1", True), ("FALSE", False), ("no", False)])
def test_truth_is_written_in_a_few_ways(written, means):
    read = ServerConfig.from_env({"RUNTARA_SKIP_CERT_VERIFICATION": written})
    assert read.skip_cert_verification is means


def test_a_truth_that_is_none_is_refused():
    with pytest.raises(ConfigInvalid, match="'maybe'; it must be true or false"):
        ServerConfig.from_env({"RUNTARA_SKIP_CERT_VERIFICATION": "maybe"})


def test_a_constructor_checks_like_the_environment():
    with pytest.raises(ConfigInvalid, match="RUNTARA_QUIC_PORT is 65536"):
        ServerConfig(quic_port=65536)
    with pytest.raises(ConfigInvalid, match="RUNTARA_QUIC_PORT is True"):
        ServerConfig(quic_port=True)


def test_what_the_caller_gives_wins_over_the_environment():
    read = ServerConfig.from_env({"RUNTARA_QUIC_PORT": "1", "RUNTARA_ENV_QUIC_PORT": "2"}, quic_port=3, data_dir=None)
    assert (read.quic_port, read.env_quic_port, read.data_dir) == (3, 2, Path(".data"))


def test_a_guest_must_know_who_it_is():
    with pytest.raises(ConfigInvalid, match="RUNTARA_TENANT_ID is not set"):
        GuestConfig.from_env({"RUNTARA_INSTANCE_ID": "i-1"})


def test_both_names_of_the_database_may_say_the_same():
    url = "postgresql://u@h/d"
    both = {"RUNTARA_DATABASE_URL": url, "RUNTARA_ENVIRONMENT_DATABASE_URL": url}
    assert ServerConfig.from_env(both).postgres_url == url
    assert ServerConfig.from_env({"RUNTARA_ENVIRONMENT_DATABASE_URL": url}).postgres_url == url
    assert ServerConfig.from_env({}).postgres_url is None


@pytest.mark.parametrize("url", ["postgres://h/d", "postgresql:///d?host=/tmp", "host=/tmp dbname=d", "dbname = d"])
def test_both_forms_of_a_connection_string_are_taken(url):
    assert ServerConfig.from_env({"RUNTARA_DATABASE_URL": url}).postgres_url == url


@pytest.mark.parametrize("url", ["", "d", "mysql://h/d", "postgresql", "host", "=x", "postgresql://h/d\n"])
def test_what_is_no_connection_string_is_refused(url):
    with pytest.raises(ConfigInvalid):
        ServerConfig.from_env({"RUNTARA_DATABASE_URL": url})


def test_two_different_databases_are_refused():
    with pytest.raises(ConfigInvalid, match="share one database"):
        ServerConfig(database_url="postgresql://h/a", environment_database_url="postgresql://h/b")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "db.example.org", "10.0.0.1"])
def test_a_server_without_tokens_listens_on_loopback_only(host):
    with pytest.raises(ConfigInvalid, match="--insecure-dev is refused"):
        ServerConfig(insecure_dev=True, bind_host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_server_without_tokens_may_listen_on_loopback(host):
    assert ServerConfig(insecure_dev=True, bind_host=host).insecure_dev


def test_secrets_are_in_no_message_and_no_repr():
    with pytest.raises(ConfigInvalid) as caught:
        ServerConfig.from_env({"RUNTARA_DATABASE_URL": "mysql://me:s3cret@h/d"})
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"
    assert "s3cret" not in repr(ServerConfig(database_url="postgresql://me:s3cret@h/d"))
    assert "s3cret" not in repr(ClientConfig(token="s3cret"))


def test_an_unknown_variable_is_answered_with_the_nearest_name(caplog):
    assert unknown_variables({"RUNTARA_QUICK_PORT": "1", "PATH": "/", "RUNTARA_TOKEN": "t"}) == [
        ("RUNTARA_QUICK_PORT", "RUNTARA_QUIC_PORT")
    ]
    assert unknown_variables({"RUNTARA_ZZZZZZZZZZZZ": "1"}) == [("RUNTARA_ZZZZZZZZZZZZ", None)]
    with caplog.at_level(logging.WARNING):
        ServerConfig.from_env({"RUNTARA_QUICK_PORT": "1"})
    assert caplog.messages == ["RUNTARA_QUICK_PORT means nothing; is it RUNTARA_QUIC_PORT?"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:5432/d?x=1", "postgresql://u:***@h:5432/d?x=1"),
        ("postgresql://u:p@ss/word@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("host=h password=p", "host=h password=***"),
        ("host=h password = 'a \\' b' user=u", "host=h password = *** user=u"),
        ("postgresql://h/d?user=u&password=p&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("plain", "plain"),
    ],
)
def test_a_password_is_masked(url, shown):
    assert mask_url(url) == shown


@pytest.mark.parametrize("written", ["host:1", "[::1]:8001", "127.0.0.1:0", "h:65535"])
def test_an_address_has_host_and_port(written):
    host, port = split_address(written)
    assert (f"[{host}]" if ":" in host else host) + f":{port}" == written


@pytest.mark.parametrize("written", ["", "host", "host:", ":1", "::1:8001", "h:65536", "h:-1", "h:x", "h\0:1", "[]:1"])
def test_what_is_no_address_is_refused(written):
    with pytest.raises(ValueError, match="is no address"):
        split_address(written)
    with pytest.raises(ConfigInvalid):
        ClientConfig.from_env({"RUNTARA_ENVIRONMENT_ADDR": written})


def test_the_launch_descriptor_is_taken_once(monkeypatch):
    monkeypatch.setenv(LAUNCH_FD_VARIABLE, "7")
    assert config.take_launch_fd() == 7
    assert config.take_launch_fd() is None


def test_a_launch_descriptor_that_is_none_is_an_error(monkeypatch):
    monkeypatch.setenv(LAUNCH_FD_VARIABLE, "seven")
    with pytest.raises(ConfigInvalid, match="LAUNCH_FD"):
        config.take_launch_fd()


def test_the_native_choice_is_c_or_python_or_free():
    assert config.native_choice({"RUNTARA_NATIVE": "python"}) == "python"
    assert config.native_choice({}) is None
    with pytest.raises(ConfigInvalid, match="it must be c or python"):
        config.native_choice({"RUNTARA_NATIVE": "rust"})
