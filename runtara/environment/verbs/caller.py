"""The one who asks, as a verb sees them: who they are, and how to reach them later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from runtara.environment.access import Principal
from runtara.environment.uploads import Upload
from runtara.protocol.messages import Message

__all__ = ("Caller",)


class Caller(Protocol):
    """One connection."""

    @property
    def is_known(self) -> bool:
        """False for a stranger: somebody who showed no token."""

    @property
    def principal(self) -> Principal:
        """Who asks. Raises ``BadCredential`` for a stranger."""

    def push(self, message: Message) -> None:
        """Tell them something unasked; lost when the connection is gone."""

    def follow(self, number: int, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` beside the requests, until it ends, ``unfollow``, or the connection is gone.

        Raises:
            InvalidRequest: the number is taken.
            LimitExceeded: too many run already.
        """

    def unfollow(self, number: int) -> None:
        """End the work of that number; an unknown one is fine."""

    def keep_upload(self, upload: Upload) -> int:
        """Keep an upload until it is taken or the connection is gone; its number.

        Raises:
            LimitExceeded: too many are kept. The upload is closed.
            Unavailable: the connection is gone. The upload is closed.
        """

    def find_upload(self, number: int) -> Upload | None:
        """A kept upload."""

    def take_upload(self, number: int) -> Upload | None:
        """A kept upload, which from now on the caller of this must finish or close."""
