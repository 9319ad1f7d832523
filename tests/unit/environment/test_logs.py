"""Logs are read by offset, and nobody's name becomes part of a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtara.environment.logs import InstanceDirectories
from runtara.errors import InvalidRequest
from runtara.ids import InstanceNo
from runtara.limits import LOG_BYTES_MAX

NO = InstanceNo(7)


@pytest.fixture
def directories(tmp_path: Path) -> InstanceDirectories:
    return InstanceDirectories(tmp_path)


def test_all_attempts_share_a_private_directory(directories: InstanceDirectories, tmp_path: Path) -> None:
    path = directories.make(NO)
    assert path == directories.make(NO) == tmp_path / "instances" / "7"
    assert path.stat().st_mode & 0o777 == 0o700


async def test_a_log_is_read_piece_by_piece(directories: InstanceDirectories) -> None:
    (directories.make(NO) / "stdout.log").write_bytes(b"0123456789")
    first, offset = await directories.read_log(NO, stream="stdout", offset_bytes=0, bytes_max=6)
    rest, end = await directories.read_log(NO, stream="stdout", offset_bytes=offset, bytes_max=6)
    assert (first, rest, end) == (b"012345", b"6789", 10)
    assert await directories.read_log(NO, stream="stdout", offset_bytes=end, bytes_max=6) == (b"", 10)


async def test_the_streams_are_two(directories: InstanceDirectories) -> None:
    (directories.make(NO) / "stderr.log").write_bytes(b"err")
    assert await directories.read_log(NO, stream="stderr", offset_bytes=0, bytes_max=9) == (b"err", 3)
    assert await directories.read_log(NO, stream="stdout", offset_bytes=0, bytes_max=9) == (b"", 0)


async def test_an_instance_that_never_ran_here_has_no_log(directories: InstanceDirectories) -> None:
    assert await directories.read_log(InstanceNo(8), stream="stdout", offset_bytes=0, bytes_max=9) == (b"", 0)


async def test_one_answer_is_bounded(directories: InstanceDirectories) -> None:
    (directories.make(NO) / "stdout.log").write_bytes(bytes(LOG_BYTES_MAX + 1))
    data, offset = await directories.read_log(NO, stream="stdout", offset_bytes=0, bytes_max=10**12)
    assert len(data) == offset == LOG_BYTES_MAX


@pytest.mark.parametrize(("stream", "offset"), [("../../secret", 0), ("", 0), ("stdout", -1)])
async def test_what_is_no_stream_or_offset_is_refused(
    directories: InstanceDirectories, stream: str, offset: int
) -> None:
    with pytest.raises(InvalidRequest):
        await directories.read_log(NO, stream=stream, offset_bytes=offset, bytes_max=1)
