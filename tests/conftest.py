"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

from runtara._native import api as native

pytest_plugins = ["tests.support.postgres"]

# Random tests have a budget in examples, not in seconds: a busy machine must not make them fail. In CI, Hypothesis
# chooses its own profile, whose examples are the same in every run.
if settings.get_current_profile_name() == "default":
    settings.register_profile("runtara", deadline=None, print_blob=True)
    settings.load_profile("runtara")


def pytest_report_header() -> str:
    return f"runtara: native code by {native.IMPLEMENTATION}"
