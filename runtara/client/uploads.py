"""Sending an image in pieces, several on their way at once, so that a slow answer does not make a slow upload."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final, TypeAlias

import anyio

from runtara.errors import InternalError, RuntaraError
from runtara.protocol import messages as m
from runtara.transport.peer import Peer

__all__ = ("OnProgress", "upload")

OnProgress: TypeAlias = Callable[[int], None]
"""Called with the bytes that the server has taken so far."""

WINDOW_CHUNKS: Final = 8


class _Window:
    """Chunks on their way: room for a few, and the first error of any."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._taken_bytes = 0
        self._waiting = 0
        self._error: RuntaraError | None = None
        self._moved = anyio.Event()

    def sent(self, size_bytes: int) -> Callable[[m.Message | RuntaraError], None]:
        """A chunk left; call the result with its answer."""
        self._waiting += 1

        def on_reply(answer: m.Message | RuntaraError) -> None:
            self._waiting -= 1
            self._answered(answer, size_bytes)
            self._moved.set()

        return on_reply

    async def wait(self, at_most: int) -> None:
        """Returns when at most that many are on their way. Raises the first error."""
        while self._error is None and self._waiting > at_most:
            self._moved = anyio.Event()
            await self._moved.wait()
        if self._error is not None:
            raise self._error

    def _answered(self, answer: m.Message | RuntaraError, size_bytes: int) -> None:
        if isinstance(answer, RuntaraError):
            self._error = self._error or answer
            return
        self._taken_bytes += size_bytes
        if self._on_progress is not None:
            self._on_progress(self._taken_bytes)


async def upload(
    peer: Peer,
    begin: m.BeginImage,
    chunks: AsyncIterator[bytes],
    *,
    timeout_s: float,
    on_progress: OnProgress | None = None,
) -> m.ImageRegistered:
    """Register an image whose bytes come piece by piece. Nothing is registered when it raises.

    ``timeout_s`` is for each answer, not for all.

    Raises:
        ImageDigestMismatch: the bytes are not those that were announced.
        InvalidRequest: there were more or fewer of them.
        Unavailable: the server, its disk or the connection was lost; begin again from the first byte.
    """
    begun = await peer.call(begin, timeout_s=timeout_s)
    if not isinstance(begun, m.UploadBegun):
        raise InternalError(f"the server answered BeginImage with {type(begun).__name__}")
    if begun.image is not None:
        return m.ImageRegistered(begun.image, created=False)
    try:
        await _send(peer, begun, chunks, _Window(on_progress))
    except BaseException:
        # The digest of half an image is wrong: the server refuses it, and forgets what it has.
        with suppress(RuntaraError):
            peer.send_request(m.FinishImage(begun.upload_no), _ignore)
        raise
    registered = await peer.call(m.FinishImage(begun.upload_no), timeout_s=timeout_s)
    if not isinstance(registered, m.ImageRegistered):
        raise InternalError(f"the server answered FinishImage with {type(registered).__name__}")
    return registered


async def _send(peer: Peer, begun: m.UploadBegun, chunks: AsyncIterator[bytes], window: _Window) -> None:
    offset_bytes = 0
    async for chunk in _cut(chunks, begun.chunk_bytes_max):
        await window.wait(WINDOW_CHUNKS - 1)
        await peer.drained()
        peer.send_request(m.UploadChunk(begun.upload_no, offset_bytes, chunk), window.sent(len(chunk)))
        offset_bytes += len(chunk)
    await window.wait(0)


async def _cut(chunks: AsyncIterator[bytes], bytes_max: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        for start in range(0, len(chunk), bytes_max):
            yield chunk[start : start + bytes_max]


def _ignore(answer: m.Message | RuntaraError) -> None:
    """Whatever it says: the upload is over."""
