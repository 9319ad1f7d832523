"""What a test needs of its machine: missing means skipped on a laptop, and failed in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """End the running test, because ``what`` is not there."""
    if os.environ.get("CI"):  # noqa: TID251 - a question about the machine, not a setting of Runtara
        pytest.fail(f"CI must have {what}", pytrace=False)
    pytest.skip(f"needs {what}")
