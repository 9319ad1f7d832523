"""The runtara command: one file per group of commands, each loaded only when it is called."""

from runtara.cli.app import main

__all__ = ("main",)
