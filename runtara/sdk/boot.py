"""How a launched process begins: ``python -I -m runtara.sdk.boot ARTIFACT``.

Base runtime first, record second, program last: importing this has paid for the runtime before the record is read, so
that a process may wait here, warm, until it is told who it is.
"""

from __future__ import annotations

import runpy
import sys

from runtara import config
from runtara.errors import RuntaraError
from runtara.sdk import launch, program

__all__ = ("main",)

_USAGE = "usage: RUNTARA_LAUNCH_FD=n python -m runtara.sdk.boot ARTIFACT\n"


def main(arguments: list[str]) -> int:
    """Run the artifact as ``__main__``; it ends the process itself. Returns an exit code when it did not."""
    try:
        record = launch.receive_record()
    except RuntaraError as error:
        sys.stderr.write(f"runtara: {error.message}\n")
        return 64
    if record is None or len(arguments) != 1:
        sys.stderr.write(_USAGE)
        return 64
    program.present(record)
    config.export(launch.variables_of(record))
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
