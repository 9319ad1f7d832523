"""Checkpoint keys: the structural path of a step, so that no two calls in a run share one, and no edit moves one.

At the root a key is the step's id; in a child or a loop it has the path to it in front: ``call/``, ``loop[3]/``. The
characters that build paths are escaped in ids.
"""

from __future__ import annotations

from typing import Final

__all__ = ("step_key",)

_ESCAPES: Final = str.maketrans({"%": "%25", "/": "%2F", "[": "%5B", "]": "%5D"})


def step_key(prefix: str, step_id: str) -> str:
    """The key of a step below ``prefix``, which is empty or ends with a slash."""
    return prefix + step_id.translate(_ESCAPES)
