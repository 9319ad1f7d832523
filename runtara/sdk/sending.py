"""Checkpoints that nobody waits for, on their way: what gathers in a moment is one request.

A program of pure steps never waits, so its results go out in batches of ``_BATCH_MAX``; to send each by itself would
take the server and the network more time than the steps take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from runtara.protocol.launch import KnownCheckpoint
from runtara.protocol.messages import Message, SaveCheckpoints

__all__ = ("Sending",)

Post: TypeAlias = Callable[[Message, Callable[[Message | BaseException], None], int], None]
"""Message, callback, bytes."""

_BATCH_MAX: Final = 100
_BATCH_BYTES_MAX: Final = 256 * 1024
_MOMENT_S: Final = 0.002


class Sending:
    """See the module. ``post`` sends a batch; its errors are the business of whoever asks whether all is stored."""

    def __init__(self, *, post: Post) -> None:
        self._post = post
        self._gathered: list[KnownCheckpoint] = []
        self._bytes = 0
        self._is_due = False

    def add(self, key: str, envelope: bytes) -> None:
        """Store it soon."""
        if self._bytes + len(envelope) > _BATCH_BYTES_MAX:
            self.hurry()
        self._gathered.append(KnownCheckpoint(key, envelope))
        self._bytes += len(envelope)
        if len(self._gathered) >= _BATCH_MAX:
            self.hurry()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_MOMENT_S, self._moment_is_over)

    def hurry(self) -> None:
        """Send what gathered. What is posted from now on comes after it."""
        batch, self._gathered = self._gathered, []
        size, self._bytes = self._bytes, 0
        if batch:
            self._post(SaveCheckpoints(tuple(batch)), _ignore, size)

    def _moment_is_over(self) -> None:
        self._is_due = False
        self.hurry()


def _ignore(outcome: Message | BaseException) -> None:
    """Errors are kept for the next flush."""
