"""From the start of a process to its exit: connect, run the program, report how it ended.

Exit codes: 0 when the end was reported, whatever it was: completed, failed, cancelled, paused, suspended. 69 when the
server was lost and 75 when a newer attempt runs: then nothing was reported, and nothing of this attempt counts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeAlias

from runtara.errors import RuntaraError
from runtara.protocol.launch import LaunchRecord
from runtara.sdk.base import AttemptSuperseded, Durable, InstanceFailed, Interruption, ServerLost
from runtara.sdk.failures import describe
from runtara.sdk.launch import options_from_environment, options_of_launch
from runtara.sdk.remote import RemoteOptions, open_remote

__all__ = (
    "EXIT_SERVER_LOST",
    "EXIT_SUPERSEDED",
    "Entry",
    "attend",
    "own_options",
    "present",
    "report_errors",
    "run_program",
    "vanish",
)

Entry: TypeAlias = Callable[[Durable], Awaitable[bytes]]
"""A program: what it returns is the output, JSON."""

EXIT_SERVER_LOST: Final = 69
EXIT_SUPERSEDED: Final = 75

_launched: RemoteOptions | None = None


def present(record: LaunchRecord) -> None:
    """This process is the attempt of that record. Called by the boot, before the program."""
    global _launched
    _launched = options_of_launch(record)


def own_options() -> RemoteOptions:
    """How this process reaches its server: by its launch record, else by its environment.

    Raises ``ConfigInvalid`` when the environment does not say.
    """
    return options_from_environment() if _launched is None else _launched


def run_program(entry: Entry) -> NoReturn:
    """Run ``entry`` as the instance that this process is, and end the process. See the module for the exit code."""
    code = report_errors(lambda: asyncio.run(_run(own_options(), entry)))
    sys.exit(code)


def report_errors(run: Callable[[], int]) -> int:
    """The exit code of ``run``. Errors that no program can have caused are shown in one line."""
    try:
        return run()
    except AttemptSuperseded as error:
        return _complain(error, EXIT_SUPERSEDED)
    except ServerLost as error:
        return _complain(error, EXIT_SERVER_LOST)
    except Interruption:
        return 0
    except RuntaraError as error:
        return _complain(f"{error.message}. {error.hint or ''}", 1)


def _complain(what: object, code: int) -> int:
    sys.stderr.write(f"runtara: {what}\n")
    return code


async def _run(options: RemoteOptions, entry: Entry) -> int:
    async with open_remote(options) as durable:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, durable.stop)
        try:
            await attend(durable, entry)
        except AttemptSuperseded as error:
            vanish(error)
    return 0


def vanish(error: AttemptSuperseded) -> NoReturn:
    """End at once: threads of this program that are still busy must not go on beside its successor."""
    code = _complain(error, EXIT_SUPERSEDED)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def attend(durable: Durable, entry: Entry) -> None:
    """Run ``entry`` and report its end: completed with what it returns, failed with what it raises.

    Raises ``Interruption`` when the attempt ends otherwise.
    """
    try:
        await durable.complete(await entry(durable))
    except InstanceFailed as failure:
        await durable.fail(failure.error)
    except Exception as error:
        await durable.fail(describe(error))
    except BaseExceptionGroup as group:
        raise _interruption_in(group) or group from None


def _interruption_in(error: BaseException) -> BaseException | None:
    """The interruption that ended a group of tasks."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_interruption_in, error.exceptions)), None)
    return error if isinstance(error, Interruption) else None
