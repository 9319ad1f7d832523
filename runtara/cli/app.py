"""The command itself: which subcommands there are, and how every one of them ends.

Data goes to stdout, everything else to stderr. The exit code says whose turn it is: 0 done, 1 refused or failed,
2 wrong usage, 3 something that is needed does not answer, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from runtara import __version__
from runtara.config import ConfigInvalid
from runtara.errors import RuntaraError, Unavailable

__all__ = ("EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_UNAVAILABLE", "EXIT_USAGE", "cli", "main", "run")

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3
EXIT_INTERRUPTED: Final = 130

# Name → module, and the line of the overview: reading the overview should not load anything. A module of another
# package is named in full: it is above this one, and brings its command along.
_COMMANDS: Final = {
    "serve": ("serve", "Run a server."),
    "demo": ("demo", "See a scenario run, from nothing to its result."),
    "compile": ("compile", "Compile a scenario to an artifact."),
    "run": ("run", "Compile, push, start and follow a scenario."),
    "test-crash": ("runtara.testing.crash_command", "Crash a scenario at every point, and see it end the same."),
    "diff": ("diff", "Say what a deploy does to parked instances."),
    "scenario": ("scenario", "Draw a scenario, print the schema, compare versions of the language."),
    "image": ("image", "Push, list, show and delete images."),
    "start": ("run", "Start an instance of an image."),
    "status": ("instances", "Show one instance."),
    "list": ("instances", "List instances."),
    "pause": ("instances", "Ask an instance to pause."),
    "resume": ("instances", "Let a paused instance go on."),
    "cancel": ("instances", "Ask an instance to end."),
    "stop": ("instances", "End an instance, by force after a while."),
    "signal": ("instances", "Send a custom signal."),
    "steps": ("steps", "Show the steps of an instance, and how long they took."),
    "checkpoints": ("history", "Show what an instance has saved."),
    "events": ("history", "Show what happened to an instance."),
    "logs": ("history", "Show what an instance wrote."),
    "token": ("token", "Create, list and revoke access tokens."),
    "health": ("health", "Ask a server how it is."),
    "config": ("config", "Show every setting, its value and where it comes from."),
    "doctor": ("doctor", "Find out why something does not work."),
    "migrate": ("migrate", "Bring the database to this version's schema."),
    "completion": ("completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """Subcommands by name; a module is loaded when its command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, which is the order in which they are needed."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded."""
        if cmd_name not in _COMMANDS:
            return None
        where = _COMMANDS[cmd_name][0]
        module = import_module(where if "." in where else f"runtara.cli.{where}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See ``click.Group``; an unknown name is answered with the nearest."""
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without loading a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="runtara")
@click.option("--debug", is_flag=True, help="Show tracebacks and what happens inside.")
def cli(debug: bool) -> None:
    """Durable execution of business processes."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit. Never a traceback, unless it is asked for."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command; its exit code."""
    try:
        return _result_code(cli.main(arguments, prog_name="runtara", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _stop_writing()
    except RuntaraError as error:
        return _refused(error, is_debug="--debug" in arguments)
    except Exception as error:
        return _bug(error, is_debug="--debug" in arguments)


def _result_code(result: Any) -> int:
    return result if isinstance(result, int) else 0


def _refused(error: RuntaraError, *, is_debug: bool) -> int:
    _say(f"error: {_line(error.message)} [{error.code}]")
    if error.hint:
        _say(f"hint: {_line(error.hint)}")
    if is_debug:
        raise error
    if isinstance(error, ConfigInvalid):
        return EXIT_USAGE
    return EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_FAILED


def _bug(error: Exception, *, is_debug: bool) -> int:
    _say(f"error: {type(error).__name__}: {_line(str(error))} [internal.bug]")
    _say("hint: This is a bug in Runtara. Please report it; --debug shows where it happened.")
    if is_debug:
        raise error
    return EXIT_FAILED


def _line(text: str) -> str:
    return " ".join(text.split())


def _say(text: str) -> None:
    click.echo(text, err=True)


def _stop_writing() -> int:
    """Whoever read us has gone: end as a program does that was told so."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
