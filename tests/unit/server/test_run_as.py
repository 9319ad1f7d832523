"""What becomes of a program that is started as somebody without rights."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from runtara.server import run_as

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def test_it_reaches_its_programs_in_a_directory_that_only_root_may_enter(tmp_path: Path) -> None:
    """As initdb looks for them: by access(2), which forgets the capabilities of an ordinary user."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text(
        f"#!{os.path.realpath(sys.executable)}\n"
        "import os, sys\n"
        "print(os.getuid(), os.access(sys.argv[0], os.R_OK | os.X_OK))\n"
    )
    program.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    output = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            run_as.__file__,
            str(nobody.pw_uid),
            str(nobody.pw_gid),
            str(closed),
            str(program),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    uid, reaches = output.split()
    assert (uid, reaches) == (str(nobody.pw_uid), "True")
