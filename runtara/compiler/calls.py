"""Steps as Python: the constant that says what a step is, and the call that runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from runtara.compiler.expressions import Atom, Expression, Group, call, literal
from runtara.compiler.lower import PlannedGraph, PlannedStep, Program
from runtara.compiler.values import Values, later, later_of_run
from runtara.dsl import model as m
from runtara.dsl.mappings import InputMapping, SchemaFields
from runtara.dsl.paths import child_path, tokenize
from runtara.dsl.shapes import kind_of

__all__ = ("Calls", "constant_of", "schema_literal")


@dataclass(frozen=True)
class Calls:
    """Makes the calls of the steps of a program."""

    program: Program
    values: Values

    def call(self, planned: PlannedStep, graph: PlannedGraph) -> Expression:
        """The call that runs a step, without ``await``."""
        make = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", kind_of(planned.step)).lower())
        expression: Expression = make(planned, planned.step, graph)
        return expression

    def _method(self, name: str, planned: PlannedStep, *arguments: Expression, **named: Expression) -> Expression:
        return call(f"run.{name}", [Atom(planned.constant), *arguments], named)

    def _inputs(self, mapping: InputMapping, planned: PlannedStep, *names: str) -> Expression:
        path = planned.path
        for name in names:
            path = child_path(path, name)
        return later(self.values.inputs(mapping, path))

    def _later(self, value: Any, planned: PlannedStep, *names: str) -> Expression:
        path = planned.path
        for name in names:
            path = child_path(path, name)
        return later(self.values.value(value, path))

    def _agent(self, planned: PlannedStep, step: m.AgentStep, _: PlannedGraph) -> Expression:
        return self._method("agent", planned, self._inputs(step.input_mapping, planned, "inputMapping"))

    def _start_scenario(self, planned: PlannedStep, step: m.StartScenarioStep, _: PlannedGraph) -> Expression:
        assert planned.child is not None
        child = self.program.children[planned.child]
        inputs = self._inputs(step.input_mapping, planned, "inputMapping")
        return self._method("start", planned, inputs, Atom(child.body.function), Atom(child.constant))

    def _connection(self, planned: PlannedStep, _step: m.ConnectionStep, _: PlannedGraph) -> Expression:
        return self._method("connection", planned)

    def _conditional(self, planned: PlannedStep, step: m.ConditionalStep, _: PlannedGraph) -> Expression:
        condition = self.values.condition(step.condition, child_path(planned.path, "condition"))
        return self._method("decide", planned, later(condition))

    def _finish(self, planned: PlannedStep, step: m.FinishStep, _: PlannedGraph) -> Expression:
        return self._method("finish", planned, self._inputs(step.input_mapping, planned, "inputMapping"))

    def _error(self, planned: PlannedStep, step: m.ErrorStep, _: PlannedGraph) -> Expression:
        return self._method("error", planned, self._inputs(step.context, planned, "context"))

    def _log(self, planned: PlannedStep, step: m.LogStep, _: PlannedGraph) -> Expression:
        return self._method("log", planned, self._inputs(step.context, planned, "context"))

    def _split(self, planned: PlannedStep, step: m.SplitStep, _: PlannedGraph) -> Expression:
        assert planned.body is not None
        items = self._later(step.config.value, planned, "config", "value")
        variables = self._inputs(step.config.variables, planned, "config", "variables")
        more = {"variables": variables} if step.config.variables else {}
        return self._method("split", planned, items, Atom(planned.body.function), **more)

    def _while(self, planned: PlannedStep, step: m.WhileStep, _: PlannedGraph) -> Expression:
        assert planned.body is not None
        condition = later_of_run(self.values.condition(step.condition, child_path(planned.path, "condition")))
        variables = self._inputs(step.config.variables, planned, "config", "variables")
        more = {"variables": variables} if step.config.variables else {}
        return self._method("repeat", planned, condition, Atom(planned.body.function), **more)

    def _filter(self, planned: PlannedStep, step: m.FilterStep, _: PlannedGraph) -> Expression:
        path = child_path(child_path(planned.path, "config"), "condition")
        condition = later_of_run(self.values.condition(step.config.condition, path))
        return self._method("filter", planned, self._later(step.config.value, planned, "config", "value"), condition)

    def _group_by(self, planned: PlannedStep, step: m.GroupByStep, _: PlannedGraph) -> Expression:
        return self._method("group_by", planned, self._later(step.config.value, planned, "config", "value"))

    def _delay(self, planned: PlannedStep, step: m.DelayStep, _: PlannedGraph) -> Expression:
        return self._method("delay", planned, self._later(step.duration_ms, planned, "durationMs"))

    def _switch(self, planned: PlannedStep, step: m.SwitchStep, _: PlannedGraph) -> Expression:
        if step.config is None:
            return self._method("switch", planned, later(Atom("None")))
        path = child_path(planned.path, "config")
        value = self._later(step.config.value, planned, "config", "value")
        cases = [self._case(case, child_path(child_path(path, "cases"), i)) for i, case in enumerate(step.config.cases)]
        listed = Group("[", tuple(("", case) for case in cases), "]", is_open=True)
        more = {}
        if step.config.default is not UNSET:
            more["default"] = later(self.values.output(step.config.default, child_path(path, "default")))
        return self._method("switch", planned, value, listed, **more)

    def _case(self, case: m.SwitchCase, path: str) -> Expression:
        self.values.used.add("Case")
        output = later(self.values.output(case.output, child_path(path, "output")))
        named = {} if case.route is None else {"route": literal(case.route)}
        return call("Case", [literal(case.match_type), literal(case.match), output], named, path=path)

    def _wait_for_signal(self, planned: PlannedStep, step: m.WaitForSignalStep, _: PlannedGraph) -> Expression:
        return self._method("wait", planned, **self._waiting(planned, step))

    def _waiting(self, planned: PlannedStep, step: m.WaitForSignalStep) -> dict[str, Expression]:
        more: dict[str, Expression] = {}
        if step.timeout_ms is not None:
            more["timeout_ms"] = self._later(step.timeout_ms, planned, "timeoutMs")
        if planned.body is not None:
            more["on_wait"] = Atom(planned.body.function)
        if step.action is not None:
            more["action"] = later(self._action(step.action, child_path(planned.path, "action")))
        return more

    def _action(self, action: m.WaitAction, path: str) -> Expression:
        parts = tuple(
            (f'"{name}": ', self.values.inputs(getattr(action, name), child_path(path, name)))
            for name in ("context", "correlation")
        )
        return Group("{", parts, "}")

    # -- AiAgent

    def _ai_agent(self, planned: PlannedStep, step: m.AiAgentStep, graph: PlannedGraph) -> Expression:
        tools = [self._tool(edge.label or "", graph.steps[edge.target]) for edge in planned.ways.tools]
        more = {"tools": Group("[", tuple(("", tool) for tool in tools), "]", is_open=True)} if tools else {}
        return self._method("ai", planned, later(self._prompt(planned, step.config)), **more)

    def _prompt(self, planned: PlannedStep, config: m.AiAgentConfig) -> Expression:
        self.values.used.add("Prompt")
        path = child_path(planned.path, "config")
        given = {
            "user": (config.user_prompt, "userPrompt"),
            "system": (config.system_prompt, "systemPrompt"),
            "model": (config.model, "model"),
            "temperature": (config.temperature, "temperature"),
            "max_tokens": (config.max_tokens, "maxTokens"),
        }
        named = {
            name: self.values.value(value, child_path(path, written))
            for name, (value, written) in given.items()
            if value is not None
        }
        if config.memory is not None:
            memory_path = child_path(child_path(path, "memory"), "conversationId")
            named["conversation_id"] = self.values.value(config.memory.conversation_id, memory_path)
        return call("Prompt", [], named, path=path)

    def _tool(self, name: str, planned: PlannedStep) -> Expression:
        self.values.used.add("Tool")
        step = planned.step
        named: dict[str, Expression] = {"name": literal(name), "step": Atom(planned.constant)}
        mapping: InputMapping = getattr(step, "input_mapping", {})
        named["inputs"] = self._inputs(mapping, planned, "inputMapping")
        if mapping:
            named["parameters"] = _names(sorted(mapping))
        description = planned.capability.description if planned.capability is not None else step.name
        if description is not None:
            named["description"] = literal(description)
        if planned.child is not None:
            child = self.program.children[planned.child]
            parts = (("", Atom(child.body.function)), ("", Atom(child.constant)))
            named["start"] = Group("(", parts, ")")
        if isinstance(step, m.WaitForSignalStep) and (more := self._waiting(planned, step)):
            order = ("timeout_ms", "on_wait", "action")
            named["start"] = Group("(", tuple(("", more.get(name, Atom("None"))) for name in order), ")")
        return call("Tool", [], named)


# ---- constants


def constant_of(planned: PlannedStep, *, debug: bool) -> Expression:
    """The constant of a step; what is as usual is left out."""
    step = planned.step
    facts: dict[str, Any] = {"id": step.id, "name": step.name}
    facts |= _FACTS[kind_of(step)](planned, step) if kind_of(step) in _FACTS else {}
    if debug:
        facts |= {"breakpoint": step.breakpoint or None, "mapping": planned.raw_mapping}
    named = {name: _fact(value) for name, value in facts.items() if value is not None}
    return call(type(step).__name__, [], named)


def _fact(value: Any) -> Expression:
    return _names(value) if isinstance(value, tuple) else literal(value)


def _names(values: Any) -> Expression:
    comma = "," if len(values) == 1 else ""
    return Group("(", tuple(("", literal(value)) for value in values), f"{comma})")


def schema_literal(fields: SchemaFields) -> Any:
    """A schema as JSON; None for an empty one."""
    return msgspec.to_builtins(fields) or None


def _not_default(value: Any, default: Any) -> Any:
    return None if value == default else value


def _agent_facts(planned: PlannedStep, step: m.AgentStep) -> Mapping[str, Any]:
    assert planned.capability is not None
    return {
        "agent": planned.agent_id,
        "capability": planned.capability.id,
        "connection_id": step.connection_id,
        **_retry_facts(step),
        "timeout_ms": step.timeout,
        "durable": _not_default(step.durable, True),
    }


def _retry_facts(step: Any) -> dict[str, Any]:
    return {"max_retries": step.max_retries, "retry_delay_ms": step.retry_delay}


def _start_facts(planned: PlannedStep, step: m.StartScenarioStep) -> Mapping[str, Any]:
    return {
        "child": planned.child,
        **_retry_facts(step),
        "timeout_ms": step.timeout,
        "durable": _not_default(step.durable, True),
    }


def _split_facts(_: PlannedStep, step: m.SplitStep) -> Mapping[str, Any]:
    config = step.config
    return {
        "parallelism": _not_default(1 if config.sequential else max(1, config.parallelism), 1),
        "dont_stop_on_failed": config.dont_stop_on_failed or None,
        **_retry_facts(config),
        "timeout_ms": config.timeout,
        "allow_null": config.allow_null or None,
        "convert_single_value": config.convert_single_value or None,
        "batch_size": config.batch_size or None,
        "input_schema": schema_literal(step.input_schema),
        "output_schema": schema_literal(step.output_schema),
        "durable": _not_default(step.durable, True),
    }


def _while_facts(_: PlannedStep, step: m.WhileStep) -> Mapping[str, Any]:
    config = step.config
    return {"max_iterations": config.max_iterations, **_retry_facts(config), "timeout_ms": config.timeout}


def _error_facts(_: PlannedStep, step: m.ErrorStep) -> Mapping[str, Any]:
    return {
        "code": step.code,
        "message": step.message,
        "category": _not_default(step.category, "permanent"),
        "severity": _not_default(step.severity, "error"),
    }


def _log_facts(_: PlannedStep, step: m.LogStep) -> Mapping[str, Any]:
    return {"message": step.message, "level": _not_default(step.level, "info")}


def _switch_facts(planned: PlannedStep, _: m.SwitchStep) -> Mapping[str, Any]:
    return {"routes": bool(planned.ways.forks) or None}


def _group_facts(_: PlannedStep, step: m.GroupByStep) -> Mapping[str, Any]:
    return {"key": tokenize(step.config.key), "expected_keys": tuple(step.config.expected_keys) or None}


def _delay_facts(_: PlannedStep, step: m.DelayStep) -> Mapping[str, Any]:
    return {"durable": _not_default(step.durable, True)}


def _wait_facts(_: PlannedStep, step: m.WaitForSignalStep) -> Mapping[str, Any]:
    action = None if step.action is None else step.action.key
    return {"response_schema": schema_literal(step.response_schema), "action": action}


def _connection_facts(_: PlannedStep, step: m.ConnectionStep) -> Mapping[str, Any]:
    return {
        "connection_id": step.connection_id,
        "integration_id": step.integration_id,
        **_retry_facts(step),
        "timeout_ms": step.timeout,
    }


def _ai_facts(_: PlannedStep, step: m.AiAgentStep) -> Mapping[str, Any]:
    config = step.config
    compaction = config.memory.compaction if config.memory is not None else None
    return {
        "connection_id": step.connection_id,
        "provider": config.provider,
        "max_iterations": _not_default(config.max_iterations, m.MAX_ITERATIONS_DEFAULT),
        "output_schema": schema_literal(config.output_schema),
        "max_messages": None if compaction is None else compaction.max_messages,
        "summarize": (compaction is not None and compaction.strategy == "summarize") or None,
        **_retry_facts(config),
        "turn_timeout_ms": _not_default(config.turn_timeout, 180_000),
        "durable": _not_default(step.durable, True),
    }


_FACTS: Mapping[str, Any] = {
    "Agent": _agent_facts,
    "AiAgent": _ai_facts,
    "Connection": _connection_facts,
    "Delay": _delay_facts,
    "Error": _error_facts,
    "GroupBy": _group_facts,
    "Log": _log_facts,
    "Split": _split_facts,
    "StartScenario": _start_facts,
    "Switch": _switch_facts,
    "WaitForSignal": _wait_facts,
    "While": _while_facts,
}
"""What is in the constant of a step of each type besides its id and name."""
