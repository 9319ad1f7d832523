"""Who this process is: from the launch record that it was born with, or from the environment of a person's program."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Final

from runtara import config
from runtara.protocol.launch import LaunchRecord, decode_launch_record
from runtara.sdk.link import Dialer
from runtara.sdk.remote import RemoteOptions
from runtara.transport.base import Address, ClientOptions
from runtara.transport.quic import quic_transport

__all__ = ("options_from_environment", "options_of_launch", "receive_record", "variables_of")

_log = logging.getLogger(__name__)

_OURS: Final = ("RUNTARA_", "PYTHON", "LD_")


def receive_record() -> LaunchRecord | None:
    """The launch record of this process, once; None for a program that nobody launched.

    Raises ``FrameMalformed`` or ``ConfigInvalid``.
    """
    descriptor = config.take_launch_fd()
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return decode_launch_record(file.read())


def variables_of(record: LaunchRecord) -> dict[str, str]:
    """What the environment of the program gets: the caller's additions, and the names of the reference for the rest.

    An addition cannot take a name of ours, nor change which code this process and its children load.
    """
    added = {name: value for name, value in record.env.items() if name != "PATH" and not name.upper().startswith(_OURS)}
    return added | {
        "RUNTARA_INSTANCE_ID": record.instance_id,
        "RUNTARA_TENANT_ID": record.tenant_id,
        "RUNTARA_SERVER_ADDR": record.server_address,
    }


def options_of_launch(record: LaunchRecord) -> RemoteOptions:
    """How a launched attempt reaches its server."""
    return RemoteOptions(
        instance_id=record.instance_id,
        tenant_id=record.tenant_id,
        dialer=Dialer(
            transport=quic_transport(record.quic or None),
            address=Address(*config.split_address(record.server_address)),
            options=ClientOptions(psk=record.psk),
        ),
        input=record.input,
        checkpoints=record.checkpoints,
        checkpoints_complete=record.checkpoints_complete,
        sleep_threshold_s=record.sleep_threshold_s,
    )


def options_from_environment() -> RemoteOptions:
    """How a program that a person started reaches its server. Raises ``ConfigInvalid``."""
    guest = config.GuestConfig.from_env()
    if guest.skip_cert_verification:
        _log.warning("RUNTARA_SKIP_CERT_VERIFICATION is set: whoever stands between can read and change everything")
    connect_s = guest.connect_timeout_ms / 1000
    options = ClientOptions(
        server_name=guest.server_name,
        ca_pem=None if guest.ca_file is None else guest.ca_file.read_bytes(),
        skip_verification=guest.skip_cert_verification,
    )
    return RemoteOptions(
        instance_id=guest.instance_id,
        tenant_id=guest.tenant_id,
        dialer=Dialer(
            transport=quic_transport(guest.quic),
            address=Address(*config.split_address(guest.server_addr)),
            options=replace(options, connect_timeout_s=connect_s),
            token=guest.token,
        ),
        sleep_threshold_s=guest.sleep_threshold_s,
        answer_timeout_s=guest.request_timeout_ms / 1000,
        connect_patience_s=connect_s,
    )
