"""One attempt towards the server: asking, sending, ending. Connections come and go underneath.

An attempt ends once, by the first of: an end that it reported, a successor, a server that is lost. From then on every
call raises that ending, so that it also reaches those parts of a program that run beside the one that met it first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Final

from runtara.clock import Clock
from runtara.errors import AttemptFenced, IllegalTransition, RuntaraError
from runtara.protocol.messages import Drain, Fenced, Message, Register, Registered, SignalPending
from runtara.sdk.base import AttemptSuperseded, ServerLost
from runtara.sdk.conclusions import Conclusion, is_applied
from runtara.sdk.emission import Emission
from runtara.sdk.inbox import Inbox
from runtara.sdk.link import Dialer, Link
from runtara.sdk.outbox import OnAnswer, Outbox
from runtara.sdk.patience import GIVE_UP_AFTER_S, Backoff, Patience
from runtara.sdk.sending import Sending

__all__ = ("Attempt",)

_log = logging.getLogger(__name__)


class Attempt:
    """See the module. ``open`` first, ``aclose`` last. Belongs to one event loop."""

    def __init__(
        self,
        *,
        instance_id: str,
        tenant_id: str,
        wants_input: bool,
        dialer: Dialer,
        clock: Clock,
        random: Random,
        answer_timeout_s: float,
        give_up_after_s: float = GIVE_UP_AFTER_S,
    ) -> None:
        self.inbox: Final = Inbox(clock)
        self.emission: Final = Emission(post=self.post)
        self.sending: Final = Sending(post=self.post)
        self.ending: BaseException | None = None
        """Why nothing can be done any more."""
        self._instance_id = instance_id
        self._tenant_id = tenant_id
        self._wants_input = wants_input
        self._epoch = 0
        self._give_up_after_s = give_up_after_s
        self._patience = Patience(clock)
        self._outbox = Outbox(
            clock=clock,
            patience=self._patience,
            backoff=Backoff(random=random),
            on_lost=self.end,
            answer_timeout_s=answer_timeout_s,
        )
        self._link = Link(
            dialer=dialer,
            register=self._register,
            outbox=self._outbox,
            events=self,
            patience=self._patience,
            backoff=Backoff(random=random),
            clock=clock,
            answer_timeout_s=answer_timeout_s,
        )
        self._first: asyncio.Future[Registered] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._send_error: BaseException | None = None
        self._concluding: Conclusion | None = None
        self._concluded: asyncio.Future[bool] | None = None
        self._end_of_turn = asyncio.Lock()

    # ---- life

    async def open(self, *, give_up_after_s: float) -> Registered:
        """Connect and register. Safe to call once.

        Raises:
            ServerLost: nobody answered for ``give_up_after_s``.
            RuntaraError: the server does not let us in.
        """
        self._patience.give_up_after_s = give_up_after_s
        self._first = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep())
        try:
            registered = await self._first
        except BaseException:
            await self.aclose()
            raise
        self._patience.give_up_after_s = self._give_up_after_s
        return registered

    async def aclose(self) -> None:
        """Close the connection; what is unanswered stays so. Safe twice."""
        self.end(ServerLost("the connection was closed"))
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})

    def end(self, ending: BaseException) -> None:
        """Nothing can be done any more. Only the first ending counts."""
        if self.ending is None:
            self.ending = ending
            self._outbox.abandon(ending)
            self.inbox.notify()

    def check_going(self) -> None:
        """Raises the ending, when there is one."""
        if self.ending is not None:
            raise self.ending

    async def _keep(self) -> None:
        try:
            await self._link.run()
        except ServerLost as lost:
            self._lose(lost)
        except Exception as error:
            _log.exception("the connection to the server failed")
            self._lose(ServerLost(f"the connection failed inside the SDK: {error}"))

    def _lose(self, lost: ServerLost) -> None:
        self._fail_to_open(lost)
        self.end(lost)

    # ---- asking

    def post(self, message: Message, on_answer: OnAnswer, size_bytes: int = 0) -> None:
        """Ask; ``on_answer`` is called once, whatever happens. Errors count for the next ``settle``."""

        def answered(outcome: Message | BaseException) -> None:
            if isinstance(outcome, BaseException):
                outcome = self._judge(outcome)
                self._send_error = self._send_error or outcome
            on_answer(outcome)

        if self.ending is None:
            self._outbox.post(message, answered, size_bytes=size_bytes)
        else:
            on_answer(self.ending)

    def reserve(self, size_bytes: int) -> None:
        """Raises ``Overloaded`` when so much more cannot be queued."""
        self._outbox.reserve(size_bytes)

    async def room(self) -> None:
        """Returns when the queue is short."""
        await self._outbox.room()

    async def ask(
        self, message: Message, *, size_bytes: int = 0, note: Callable[[Message], None] | None = None
    ) -> Message:
        """The answer, however many connections it takes. Raises the typed error, or the ending of the attempt.

        ``note`` is called with the answer even when the caller was cancelled meanwhile: what left is not undone by it.
        """
        self.check_going()
        answer: asyncio.Future[Message | BaseException] = asyncio.get_running_loop().create_future()

        def answered(outcome: Message | BaseException) -> None:
            if note is not None and not isinstance(outcome, BaseException):
                note(outcome)
            if not answer.done():
                answer.set_result(outcome)

        self._outbox.post(message, answered, size_bytes=size_bytes)
        outcome = await answer
        if isinstance(outcome, BaseException):
            raise self._judge(outcome)
        return outcome

    async def settle(self) -> None:
        """Returns when all that was posted, sent or emitted is durable. Raises the first error among it, once."""
        self.check_going()
        self.sending.hurry()
        await self.emission.settled()
        await self._outbox.settled()
        error, self._send_error = self._send_error, None
        self.check_going()
        if error is not None:
            raise error

    def _judge(self, error: BaseException) -> BaseException:
        """The error, or the ending when it means that this attempt is not the running one any more."""
        if isinstance(error, AttemptFenced | IllegalTransition):
            self.end(AttemptSuperseded(error.message))
        return error if self.ending is None else self.ending

    # ---- ending

    async def conclude(self, conclusion: Conclusion) -> bool:
        """Report the end of the attempt, durable on return. False when the server said to go on instead.

        Everything that was sent is durable first. Raises as ``ask`` and ``settle`` do.
        """
        async with self._end_of_turn:
            await self.settle()
            self._concluding = conclusion
            self._concluded = asyncio.get_running_loop().create_future()
            self._outbox.post(conclusion.message, self._answer_conclusion(self._concluded))
            try:
                is_applied = await self._concluded
            finally:
                self._concluding = self._concluded = None
            if is_applied:
                self.end(conclusion.ending)
            return is_applied

    def _answer_conclusion(self, concluded: asyncio.Future[bool]) -> OnAnswer:
        def answered(outcome: Message | BaseException) -> None:
            if concluded.done():
                return
            if isinstance(outcome, BaseException):
                concluded.set_exception(self._judge(outcome))
            else:
                concluded.set_result(is_applied(outcome))

        return answered

    # ---- LinkEvents

    def registered(self, answer: Registered) -> None:
        """See ``LinkEvents``."""
        self._epoch = answer.epoch
        self.inbox.replace(answer.signals)
        if self._first is not None and not self._first.done():
            self._first.set_result(answer)

    def pushed(self, message: Message) -> None:
        """See ``LinkEvents``."""
        match message:
            case SignalPending():
                self.inbox.receive(message)
            case Drain():
                self.inbox.drain()
            case Fenced():
                self.end(AttemptSuperseded("this attempt has a successor"))

    def refused(self, error: RuntaraError) -> None:
        """See ``LinkEvents``. A refusal may be the only answer that is left to a conclusion whose own was lost."""
        self._fail_to_open(error)
        status = error.attributes.get("status") if isinstance(error, IllegalTransition) else None
        if self._concluding is not None and self._concluded is not None and status in self._concluding.statuses:
            ending = self._concluding.ending
            if not self._concluded.done():
                self._concluded.set_result(True)
        elif isinstance(error, AttemptFenced | IllegalTransition):
            ending = AttemptSuperseded(error.message)
        else:
            ending = ServerLost(f"the server refuses this attempt: {error.message}")
        self.end(ending)

    def _register(self) -> Register:
        is_first = self._epoch == 0
        return Register(self._instance_id, self._tenant_id, self._wants_input and is_first, self._epoch)

    def _fail_to_open(self, error: BaseException) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_exception(error)
