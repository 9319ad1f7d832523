"""Completion of commands and options in the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from runtara.cli.app import cli

__all__ = ("completion_command",)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell, to be evaluated: eval "$(runtara completion bash)"."""
    completion = get_completion_class(shell)
    assert completion is not None, "click knows these three"
    click.echo(completion(cli, {}, "runtara", "_RUNTARA_COMPLETE").source())
