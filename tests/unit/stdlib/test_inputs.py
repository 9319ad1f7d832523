from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtara.sdk.base import InstanceInfo
from runtara.stdlib import Scenario
from runtara.stdlib.inputs import RunInput, read_input
from runtara.stdlib.values import ValueFailed

SCENARIO = Scenario(id="orders", version=1, variables={"rate": 0.2})
BUILT_IN = {"_scenario_id": "orders", "_instance_id": "i-1", "_tenant_id": "t-1"}


def read(data: bytes) -> RunInput:
    return read_input(InstanceInfo(instance_id="i-1", tenant_id="t-1", attempt=1, input=data), SCENARIO)


@pytest.mark.parametrize(
    ("value", "data", "variables"),
    [
        ({"endpoint": "http://x"}, {"endpoint": "http://x"}, {}),
        ({"data": {"a": 1}}, {"a": 1}, {}),
        ({"data": [1], "variables": {"rate": 1, "new": 2}}, [1], {"rate": 1, "new": 2}),
        ({"data": 1, "variables": None}, 1, {}),
        ({"data": {"data": 1}}, {"data": 1}, {}),
        ({"data": 1, "other": 2}, {"data": 1, "other": 2}, {}),
        ({"variables": {"rate": 1}}, {"variables": {"rate": 1}}, {}),
        ([1, 2], [1, 2], {}),
        ("text", "text", {}),
        (None, None, {}),
    ],
)
def test_the_input_is_the_data_or_an_envelope(value: Any, data: Any, variables: dict[str, Any]) -> None:
    found = read(msgspec.json.encode(value))
    assert found.data == data
    assert found.variables == {"rate": 0.2} | variables | BUILT_IN


def test_no_input_is_an_empty_object() -> None:
    assert read(b"").data == {}


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff", b'{"data": 1, "variables": []}', b'{"data": 1, "variables": {"_instance_id": "other"}}'],
)
def test_an_input_that_is_no_input_is_a_failure_of_the_run(data: bytes) -> None:
    with pytest.raises(ValueFailed) as caught:
        read(data)
    assert caught.value.code == "INPUT_INVALID"
