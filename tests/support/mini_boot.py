"""A base runtime of ten lines: reads the launch record and runs the artifact, without the SDK and its imports."""

import os
import runpy
import sys

record = b""
descriptor = int(os.environ.pop("RUNTARA_LAUNCH_FD"))  # noqa: TID251
while chunk := os.read(descriptor, 1 << 20):
    record += chunk
os.close(descriptor)
if not record:
    sys.exit("no launch record")
runpy.run_path(sys.argv[1], run_name="__main__")
