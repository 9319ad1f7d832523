"""What step events show: everything, as far as it is short and no secret."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtara.limits import STEP_EVENT_VALUE_BYTES_MAX
from runtara.stdlib.trace import masked, shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": "x", "user": "u"}, {"password": "***", "user": "u"}),
        ({"a": [{"apiKey": "k"}, {"api_key": 5}]}, {"a": [{"apiKey": "***"}, {"api_key": "***"}]}),
        ({"Authorization": "Bearer x"}, {"Authorization": "***"}),
        ({"client_secret": {"deep": 1}}, {"client_secret": "***"}),
        ({"token": None}, {"token": None}),
        (["token"], ["token"]),
        ("password", "password"),
    ],
)
def test_what_is_under_the_name_of_a_secret_is_masked(value: Any, expected: Any) -> None:
    assert masked(value) == expected


def test_a_value_is_shown_whole_to_the_limit_and_cut_one_past_it() -> None:
    whole = "x" * (STEP_EVENT_VALUE_BYTES_MAX - 2)
    assert shown(whole) == whole
    cut = shown(whole + "x")
    assert cut["_truncated"] is True
    assert cut["_original_size"] == STEP_EVENT_VALUE_BYTES_MAX + 1
    assert len(cut["_preview"].encode()) == STEP_EVENT_VALUE_BYTES_MAX


@pytest.mark.parametrize("lead", range(4))
def test_a_value_is_cut_between_characters(lead: int) -> None:
    preview = shown("x" * lead + "𝄞" * STEP_EVENT_VALUE_BYTES_MAX)["_preview"]
    assert preview.endswith("𝄞")
    assert len(preview.encode()) > STEP_EVENT_VALUE_BYTES_MAX - 4
    msgspec.json.encode(preview)
