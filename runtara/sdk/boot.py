"""How a launched process begins: ``python -I -m runtara.sdk.boot ARTIFACT``.

Base runtime first, record second, program last. Starting is mostly importing, so the modules come in one go without
the garbage collector: it would find nothing and takes a tenth of the time (benchmarks/guest_start.py).
"""

from __future__ import annotations

import gc
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ("main",)

_EXIT_USAGE = 64
_USAGE = "usage: RUNTARA_LAUNCH_FD=n python -m runtara.sdk.boot ARTIFACT\n"


def main(arguments: list[str]) -> int:
    """Run the artifact as ``__main__``; it ends the process itself. Returns an exit code when it did not."""
    with _without_collector():
        try:
            is_launched = _introduce()
        except ValueError as error:
            sys.stderr.write(f"runtara: {error}\n")
            return _EXIT_USAGE
    if not is_launched or len(arguments) != 1:
        sys.stderr.write(_USAGE)
        return _EXIT_USAGE
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


def _introduce() -> bool:
    """Tell this process who it is. False when nobody launched it, ``ValueError`` when its record cannot be used."""
    from runtara import config
    from runtara.errors import RuntaraError
    from runtara.sdk import launch, program

    try:
        record = launch.receive_record()
        if record is None:
            return False
        program.present(record)
    except RuntaraError as error:
        raise ValueError(error.message) from error
    config.export(launch.variables_of(record))
    return True


@contextmanager
def _without_collector() -> Iterator[None]:
    """What was made in this block is never looked at again by the collector."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
