from __future__ import annotations

import os

import pytest

from runtara.errors import FrameMalformed
from runtara.protocol.launch import KnownCheckpoint, LaunchRecord, Psk, encode_launch_record
from runtara.sdk.launch import options_from_environment, options_of_launch, receive_record, variables_of

RECORD = LaunchRecord(
    instance_id="i",
    tenant_id="t",
    epoch=3,
    server_address="[::1]:8001",
    psk=Psk(b"label", b"s" * 48, 4e9),
    quic="aioquic",
    input=b"{}",
    checkpoints=(KnownCheckpoint("a", b"1"),),
    checkpoints_complete=True,
    sleep_threshold_s=5.0,
    env={
        "COLOUR": "red",
        "RUNTARA_TOKEN": "stolen",
        "runtara_token": "stolen",
        "PATH": "/tmp",
        "LD_PRELOAD": "x.so",
        "PYTHONPATH": "/tmp",
    },
)


def hand_over(monkeypatch: pytest.MonkeyPatch, data: bytes) -> int:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    monkeypatch.setenv("RUNTARA_LAUNCH_FD", str(read))
    return read


def test_the_record_is_read_once_and_its_descriptor_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = hand_over(monkeypatch, encode_launch_record(RECORD))
    assert receive_record() == RECORD
    assert receive_record() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_record_that_was_cut_off_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_over(monkeypatch, encode_launch_record(RECORD)[:-1])
    with pytest.raises(FrameMalformed):
        receive_record()


def test_additions_to_the_environment_take_no_name_of_ours() -> None:
    assert variables_of(RECORD) == {
        "COLOUR": "red",
        "RUNTARA_INSTANCE_ID": "i",
        "RUNTARA_TENANT_ID": "t",
        "RUNTARA_SERVER_ADDR": "[::1]:8001",
    }


def test_a_launched_program_is_told_everything() -> None:
    options = options_of_launch(RECORD)
    assert (options.dialer.address.host, options.dialer.address.port) == ("::1", 8001)
    assert options.dialer.transport.name == "quic/aioquic"
    assert options.dialer.psk == RECORD.psk
    assert options.dialer.token is None
    assert options.checkpoints == RECORD.checkpoints
    assert options.checkpoints_complete
    assert options.sleep_threshold_s == 5.0


def test_a_program_of_a_person_is_told_by_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.write_text("PEM")
    for name, value in {
        "RUNTARA_INSTANCE_ID": "i",
        "RUNTARA_TENANT_ID": "t",
        "RUNTARA_SERVER_ADDR": "host:1",
        "RUNTARA_TOKEN": "secret",
        "RUNTARA_CA_FILE": str(authority),
        "RUNTARA_CONNECT_TIMEOUT_MS": "2500",
        "RUNTARA_REQUEST_TIMEOUT_MS": "4500",
    }.items():
        monkeypatch.setenv(name, value)
    options = options_from_environment()
    assert options.dialer.token == "secret"
    assert options.dialer.psk is None
    assert options.dialer.options.ca_pem == b"PEM"
    assert options.dialer.options.connect_timeout_s == 2.5
    assert options.connect_patience_s == 2.5
    assert options.answer_timeout_s == 4.5
    assert options.input is None


def test_skipping_the_verification_warns(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("RUNTARA_INSTANCE_ID", "i")
    monkeypatch.setenv("RUNTARA_TENANT_ID", "t")
    monkeypatch.setenv("RUNTARA_SKIP_CERT_VERIFICATION", "true")
    assert options_from_environment().dialer.options.skip_verification
    assert "RUNTARA_SKIP_CERT_VERIFICATION" in caplog.text
