"""The final answer: the model's text, or what it says where it has to fit a schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from runtara.agents.errors import AgentError
from runtara.stdlib.failures import clipped
from runtara.stdlib.schemas import fields_of, fitting

__all__ = ("answer_of", "schema_for")

# Models like to put JSON into a block of code.
_FENCED: Final = re.compile(r"\s*```[a-zA-Z]*\n(.*)\n\s*```\s*", re.DOTALL)


def schema_for(output_schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema of the answer for a model; None where any text will do."""
    if not output_schema:
        return None
    from runtara.dsl.schemas import json_schema  # with a schema only

    return json_schema(fields_of(output_schema))


def answer_of(text: str, output_schema: Mapping[str, Any]) -> Any:
    """The answer, with the defaults of the schema.

    Raises:
        AgentError: it is not JSON; ``AI_STRUCTURED_OUTPUT_INVALID``.
        ValueFailed: it does not fit; ``AI_STRUCTURED_OUTPUT_SCHEMA_MISMATCH``, and the message names the field.
    """
    if not output_schema:
        return text
    fenced = _FENCED.fullmatch(text)
    try:
        value = msgspec.json.decode(text if fenced is None else fenced[1])
    except (msgspec.MsgspecError, RecursionError) as error:
        message = f"the answer of the model is not JSON: {clipped(text, 200)!r}"
        raise AgentError("AI_STRUCTURED_OUTPUT_INVALID", message) from error
    return fitting(value, output_schema, "the response", "AI_STRUCTURED_OUTPUT_SCHEMA_MISMATCH")
