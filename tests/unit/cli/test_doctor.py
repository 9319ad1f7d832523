import json
import socket

import pytest

from runtara.cli.app import run


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in ("RUNTARA_DATABASE_URL", "RUNTARA_BIND_HOST", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("RUNTARA_QUIC_PORT", "RUNTARA_ENV_QUIC_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def look(capsys):
    def look(*arguments):
        code = run(["doctor", "--json", *arguments])
        findings = {each["what"]: each for each in json.loads(capsys.readouterr().out)}
        assert code == (1 if any(each["state"] == "problem" for each in findings.values()) else 0)
        return findings

    return look


def test_a_good_machine_is_good_and_nothing_is_made_by_looking(look, tmp_path):
    findings = look()
    assert {"python", "quic", "native", "settings", "data directory", "disk", "ports", "database"} <= set(findings)
    assert findings["ports"]["state"] == "ok"
    assert "will be made" in findings["data directory"]["detail"]
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_cannot_be_used_is_found(look, monkeypatch):
    monkeypatch.setenv("RUNTARA_LEASE_SECS", "soon")
    assert "RUNTARA_LEASE_SECS is 'soon'" in look()["settings"]["detail"]


def test_a_directory_that_is_none_is_found(look, tmp_path):
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        assert look("--data-dir", str(tmp_path / path))["data directory"]["state"] == "problem"


def test_a_port_that_is_taken_is_found(look, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("RUNTARA_QUIC_PORT", port)
        finding = look()["ports"]
    assert (finding["state"], finding["detail"]) == ("problem", f"UDP {port} taken")


def test_a_server_that_left_its_address_and_is_gone_is_found(look, tmp_path):
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "server.json").write_text('{"management": "127.0.0.1:9"}')
    finding = look()["server"]
    assert finding["state"] == "problem"
    assert "127.0.0.1:9" in finding["detail"]


def test_a_database_that_does_not_answer_is_found_without_its_password(look, monkeypatch):
    monkeypatch.setenv("RUNTARA_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/d")
    monkeypatch.setenv("RUNTARA_DB_CONNECT_TIMEOUT_SECS", "0.1")
    finding = look()["database"]
    assert finding["state"] == "problem"
    assert "s3cret" not in str(finding)
