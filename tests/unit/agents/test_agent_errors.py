import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara.agents import AgentError

texts = st.text(max_size=20)
errors = st.builds(
    AgentError,
    texts,
    texts,
    category=st.sampled_from(["transient", "permanent"]),
    severity=st.sampled_from([None, "info", "warning", "error", "critical"]),
    retry_after_ms=st.none() | st.integers(0, 10**9),
    attributes=st.dictionaries(texts, texts, max_size=3),
)


@given(errors)
def test_an_error_survives_json(error: AgentError) -> None:
    again = AgentError.from_data(json.loads(json.dumps(error.to_data())))
    assert vars(again) == vars(error)


@pytest.mark.parametrize(("category", "severity"), [("transient", "warning"), ("permanent", "error")])
def test_the_severity_follows_from_the_category(category: str, severity: str) -> None:
    assert AgentError("X", "m", category=category).severity == severity  # type: ignore[arg-type]


def test_an_error_is_found_in_its_wrappers() -> None:
    error, wrapped = AgentError("X", "m"), ValueError()
    wrapped.__cause__ = error
    assert AgentError.of(ExceptionGroup("several", [KeyError(), wrapped])) is error


def test_any_other_exception_is_a_permanent_fault_of_the_capability() -> None:
    error = AgentError.of(KeyError("x"))
    assert (error.code, error.category, error.message) == ("CAPABILITY_ERROR", "permanent", "KeyError: 'x'")
    assert error.attributes == {"exception": "KeyError"}


def test_a_category_of_another_version_is_not_tried_again() -> None:
    assert AgentError.from_data({"code": "X", "message": "m", "category": "unknown"}).category == "permanent"
