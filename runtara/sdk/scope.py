"""Where in a program a call stands: the current attempt, and the prefix of the keys that are made here.

Keys are structural. A call without a key of its own is named after the function and its arguments, and numbered
within its surroundings: ``charge(7)#1``. Inside a durable function the surroundings are that call:
``order(7)#1/charge(7)#1``. The arguments are there because calls do not always come in the same order: a loop over a
set, or a race, takes another one in the next attempt, and the result of one must not become another's. The number tells
equal calls apart, so that a loop does not get its first round's result for all rounds.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from runtara.errors import InvalidRequest
from runtara.ids import CheckpointKey, parse_checkpoint_key
from runtara.sdk.base import Durable

__all__ = ("NotInInstance", "Scope", "current_scope", "entered", "shortened")

# With characters of up to three bytes, a path of this length and a name fit into a key.
_PREFIX_CHARACTERS_MAX: Final = 200


class NotInInstance(InvalidRequest):
    """A durable call outside of a program that runs as an instance."""

    code = "sdk.not_in_instance"


class Scope:
    """The surroundings of a call."""

    def __init__(self, durable: Durable, *, prefix: str = "") -> None:
        self.durable = durable
        self._prefix = prefix
        self._begun: Counter[str] = Counter()
        self._lock = threading.Lock()

    def key(self, name: str, given: str | None = None) -> CheckpointKey:
        """The key of the next call of that name, or the given one, within these surroundings.

        Raises ``InvalidRequest`` or ``LimitExceeded`` for what cannot be a key.
        """
        if given is not None:
            return parse_checkpoint_key(self._prefix + given)
        with self._lock:
            self._begun[name] += 1
            number = self._begun[name]
        return parse_checkpoint_key(f"{self._prefix}{name}#{number}")

    def inside(self, key: CheckpointKey) -> Scope:
        """The surroundings within the call of that key."""
        return Scope(self.durable, prefix=f"{shortened(key, _PREFIX_CHARACTERS_MAX)}/")

    @property
    def call_key(self) -> str:
        """Of the durable call around; empty outside of all."""
        return self._prefix.removesuffix("/")


def shortened(text: str, characters_max: int) -> str:
    """The text, or its beginning and a digest of all of it."""
    if len(text) <= characters_max:
        return text
    # Long keys are rare, and the import is not free.
    from hashlib import sha256

    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{text[: characters_max - len(digest) - 1]}~{digest}"


_current: ContextVar[Scope] = ContextVar("runtara_scope")


def current_scope() -> Scope:
    """Where this code runs. Raises ``NotInInstance``."""
    try:
        return _current.get()
    except LookupError:
        raise NotInInstance(
            "this is no running instance",
            hint="Call it inside of sdk.run(main); a thread of your own needs contextvars.copy_context().run.",
        ) from None


@contextmanager
def entered(scope: Scope) -> Iterator[None]:
    """Code inside the block, and tasks that it starts, run in these surroundings."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)
