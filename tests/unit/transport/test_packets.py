from __future__ import annotations

import pytest

from runtara.transport.quic.packets import (
    RESET_BYTES,
    LongHeader,
    ResetTokens,
    parse_long_header,
    version_negotiation,
)


def long_packet(*, first: int = 0xC3, version: int = 1, destination: bytes = b"dest", source: bytes = b"src") -> bytes:
    ids = bytes([len(destination)]) + destination + bytes([len(source)]) + source
    return bytes([first]) + version.to_bytes(4, "big") + ids


def test_a_long_header_is_read() -> None:
    assert parse_long_header(long_packet() + b"rest") == LongHeader(1, b"dest", b"src", is_initial=True)


@pytest.mark.parametrize("first", [0xD0, 0xE0, 0xF0, 0x80])
def test_only_an_initial_packet_is_one(first: int) -> None:
    header = parse_long_header(long_packet(first=first))
    assert header is not None
    assert not header.is_initial


def test_a_short_header_is_no_long_one() -> None:
    assert parse_long_header(long_packet(first=0x40)) is None


def test_a_header_that_is_cut_off_anywhere_is_none() -> None:
    packet = long_packet(destination=bytes(20), source=bytes(20))
    assert parse_long_header(packet) is not None
    assert all(parse_long_header(packet[:size]) is None for size in range(len(packet)))


def test_connection_ids_over_twenty_bytes_are_refused() -> None:
    assert parse_long_header(long_packet(destination=bytes(21))) is None
    assert parse_long_header(long_packet(source=bytes(21))) is None


def test_version_negotiation_swaps_the_ids_and_lists_the_versions() -> None:
    header = parse_long_header(long_packet(version=0x1A2A3A4A))
    assert header is not None
    answer = version_negotiation(header, (1, 2))
    assert parse_long_header(answer) == LongHeader(0, b"src", b"dest", is_initial=(answer[0] & 0x70) == 0x40)
    assert answer.endswith(b"\x04dest" + bytes([0, 0, 0, 1, 0, 0, 0, 2]))


def test_a_reset_proves_the_key_and_names_the_connection() -> None:
    tokens = ResetTokens(b"secret", port=1)
    datagram = b"\x40" + b"12345678" + bytes(30)
    reset = tokens.reset(datagram)
    assert reset is not None
    assert len(reset) == RESET_BYTES
    assert reset[0] & 0xC0 == 0x40
    assert reset.endswith(tokens.token(b"12345678"))
    assert ResetTokens(b"secret", port=1).token(b"12345678") == tokens.token(b"12345678")


@pytest.mark.parametrize("other", [ResetTokens(b"other", port=1), ResetTokens(b"secret", port=2)])
def test_another_key_or_port_has_other_tokens(other: ResetTokens) -> None:
    assert other.token(b"12345678") != ResetTokens(b"secret", port=1).token(b"12345678")


def test_a_reset_is_shorter_than_what_caused_it() -> None:
    tokens = ResetTokens(b"secret", port=1)
    assert tokens.reset(bytes(RESET_BYTES)) is None
    assert tokens.reset(bytes(RESET_BYTES + 1)) is not None
