"""Emitting: from a program to the Python that a person would have written for it.

The same program gives the same text, byte for byte. Nothing of the document gets into the text but as a literal or as
the printable part of a comment, so no name can break out of its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import UNSET

from runtara.compiler.expressions import (
    WIDTH,
    Atom,
    Expression,
    Group,
    Line,
    call,
    layout,
    literal,
    mapping,
    negation,
    text_literal,
)
from runtara.compiler.lower import PlannedStep, Program
from runtara.dsl.conditions import Argument, Operand, read_condition
from runtara.dsl.flow import Body, Choice, Item, Joined, Visit
from runtara.dsl.model import AgentStep, ConditionalStep, FinishStep, Immediate, InputMapping, MappingValue, Reference
from runtara.dsl.paths import child_path, tokenize

__all__ = ("Emitted", "emit")


@dataclass(frozen=True, slots=True)
class Emitted:
    """A module, and from which of its lines on the code stands for which step and document path."""

    source: str
    source_map: Mapping[int, tuple[str, str]]


def emit(program: Program) -> Emitted:
    """The module of a program: ``SCENARIO``, a constant for each step, ``main``, ``SOURCE_MAP``."""
    writer = _Writer()
    _Emitter(program, writer).emit()
    return Emitted(writer.text(), writer.source_map)


@dataclass
class _Writer:
    lines: list[str] = field(default_factory=list)
    source_map: dict[int, tuple[str, str]] = field(default_factory=dict)
    _last_place: tuple[str, str] | None = None

    def write(self, *lines: str) -> None:
        self.lines += lines

    def write_for(self, step_id: str, lines: Iterable[Line]) -> None:
        for text, path in lines:
            self.lines.append(text)
            assert path is not None
            place = (step_id, path)
            if place != self._last_place:
                self.source_map[len(self.lines)] = self._last_place = place

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass
class _Emitter:
    program: Program
    writer: _Writer
    used: set[str] = field(default_factory=lambda: {"Run", "Scenario"})
    """The names that the module imports."""

    def emit(self) -> None:
        # The body first: what it uses decides what the head imports, and the head decides where the body begins.
        body = _Writer()
        head, self.writer = self.writer, body
        self._emit_main()
        constants = list(self._constants())
        self.writer = head
        self._emit_head(constants)
        offset = len(head.lines)
        head.lines += body.lines
        head.source_map |= {line + offset: place for line, place in body.source_map.items()}
        self._emit_source_map()

    # -- around the main function

    def _emit_head(self, constants: list[str]) -> None:
        graph = self.program.graph
        title = _comment(graph.name or self.program.scenario_id)
        origin = f'Scenario "{self.program.scenario_id}", version {self.program.version}, compiled by Runtara.'
        self.writer.write(f"# {title}", "#", f"# {origin} Change the scenario, not this.", "")
        names = sorted(self.used, key=lambda name: (name.lower() == name, name))
        imports = Group("(", tuple(("", Atom(name)) for name in names), ")")
        line = f"from runtara.stdlib import {', '.join(names)}"
        if len(line) <= WIDTH:
            self.writer.write(line)
        else:
            self.writer.write(*_texts(layout(_opened(imports), prefix="from runtara.stdlib import ")))
        self.writer.write("", *_texts(layout(self._scenario(), prefix="SCENARIO = ")), "", *constants, "", "")

    def _scenario(self) -> Expression:
        graph, program = self.program.graph, self.program
        named = {"id": literal(program.scenario_id), "version": literal(program.version)}
        if graph.name is not None:
            named["name"] = literal(graph.name)
        if graph.variables:
            named["variables"] = literal(program.default_variables)
        if graph.rate_limit_budget_ms != 60_000:
            named["rate_limit_budget_ms"] = literal(graph.rate_limit_budget_ms)
        return call("Scenario", [], named)

    def _constants(self) -> Iterator[str]:
        for planned in self.program.steps.values():
            kind = type(planned.step).__name__
            self.used.add(kind)
            yield from _texts(layout(call(kind, [], _facts(planned)), prefix=f"{planned.constant} = "))

    def _emit_source_map(self) -> None:
        self.writer.write("", "", "# From which line on this module stands for which step and place in the scenario.")
        entries = [
            (f"{line}: ", Atom(f"({text_literal(step)}, {text_literal(path)})"))
            for line, (step, path) in sorted(self.writer.source_map.items())
        ]
        self.writer.write(*_texts(layout(Group("{", tuple(entries), "}", is_open=True), prefix="SOURCE_MAP = ")))

    # -- the main function

    def _emit_main(self) -> None:
        self.writer.write("async def main(run: Run) -> object:")
        for mark in self.program.flow.marks:
            self.writer.write(f"    {self.program.steps[mark].mark} = False")
        if self.program.flow.marks:
            self.writer.write("")
        self._emit_body(self.program.flow.body, 4)
        if _falls_through(self.program.flow.body, self.program):
            self.writer.write("", "    return await run.end()")

    def _emit_body(self, body: Body, indent: int) -> None:
        self._emit_marks(body.marks, indent)
        for index, item in enumerate(body.items):
            if index or body.marks:
                self.writer.write("")
            self._emit_item(item, indent)
        if not body.items and not body.marks:
            self.writer.write(" " * indent + "pass")

    def _emit_item(self, item: Item, indent: int) -> None:
        if isinstance(item, Choice):
            self._emit_choice(item, indent, "if")
        elif isinstance(item, Joined):
            self.writer.write(" " * indent + f"if {self.program.steps[item.step].mark}:")
            self._emit_body(item.body, indent + 4)
        else:
            self._emit_visit(item, indent)

    def _emit_marks(self, marks: Iterable[str], indent: int) -> None:
        for mark in marks:
            self.writer.write(" " * indent + f"{self.program.steps[mark].mark} = True")

    def _emit_visit(self, item: Visit, indent: int) -> None:
        planned = self.program.steps[item.step]
        self._emit_comment(planned, indent)
        if isinstance(planned.step, FinishStep):
            code = call("run.finish", [Atom(planned.constant), self._inputs(planned.step.input_mapping, planned)])
            self._emit_code(planned, code, "return await ", indent)
        else:
            assert isinstance(planned.step, AgentStep)
            code = call("run.agent", [Atom(planned.constant), self._inputs(planned.step.input_mapping, planned)])
            self._emit_code(planned, code, "await ", indent)
        self._emit_marks(item.marks, indent)

    def _emit_choice(self, item: Choice, indent: int, keyword: str) -> None:
        planned = self.program.steps[item.step]
        assert isinstance(planned.step, ConditionalStep)
        self._emit_comment(planned, indent)
        condition = read_condition(planned.step.condition, child_path(planned.path, "condition"))
        code = call("run.decide", [Atom(planned.constant), self._truth(condition)])
        self._emit_code(planned, code, f"{keyword} ", indent, suffix=":")
        self._emit_body(item.when_true, indent + 4)
        self._emit_otherwise(item.when_false, indent)

    def _emit_otherwise(self, body: Body, indent: int) -> None:
        only = body.items[0] if len(body.items) == 1 and not body.marks else None
        if isinstance(only, Choice):
            self._emit_choice(only, indent, "elif")
        elif body.items or body.marks:
            self.writer.write(" " * indent + "else:")
            self._emit_body(body, indent + 4)

    def _emit_comment(self, planned: PlannedStep, indent: int) -> None:
        step = planned.step
        title = f"{_comment(step.name)} ({_comment(step.id)})" if step.name else _comment(step.id)
        what = f"{planned.agent_id}/{planned.capability.id}" if planned.capability else type(step).__name__[:-4]
        self.writer.write(" " * indent + f"# {title}: {_comment(what)}")

    def _emit_code(self, planned: PlannedStep, code: Expression, prefix: str, indent: int, *, suffix: str = "") -> None:
        lines = layout(code, prefix=prefix, suffix=suffix, indent=indent, path=planned.path)
        self.writer.write_for(planned.step.id, lines)

    # -- values

    def _inputs(self, inputs: InputMapping, planned: PlannedStep) -> Expression:
        path = child_path(planned.path, "inputMapping")
        entries = {key: self._value(value, child_path(path, key)) for key, value in inputs.items()}
        # What can fail gets a line of its own, so that the failure can name it.
        made = mapping(entries, is_open=any(isinstance(value, Reference) for value in inputs.values()))
        if any("." in key for key in inputs):
            return self._use("nested", made)
        return made

    def _value(self, value: MappingValue, path: str) -> Expression:
        if isinstance(value, Immediate):
            return literal(value.value, path=path)
        segments = [literal(segment) for segment in tokenize(value.value)]
        named: dict[str, Expression] = {}
        if value.type is not None:
            named["hint"] = literal(value.type)
        if value.default is not UNSET:
            named["default"] = literal(value.default)
        return call("run.reference", segments, named, path=path)

    def _use(self, name: str, *arguments: Expression, path: str | None = None) -> Group:
        self.used.add(name)
        return call(name, arguments, path=path)

    # -- conditions

    def _truth(self, argument: Argument) -> Expression:
        """An expression whose value is a boolean."""
        if isinstance(argument, Operand):
            return self._use("truthy", self._value(argument.value, argument.path))
        if argument.operator in _CHAINS:
            return self._chain(argument.operator, argument.arguments, argument.path)
        if argument.operator in _NEGATIONS:
            return negation(self._truth_of(_NEGATIONS[argument.operator], argument.arguments, argument.path))
        if argument.operator == "NOT":
            return negation(self._truth(argument.arguments[0]))
        if argument.operator == "LENGTH":
            return Group("(", (("", self._argument(argument)), ("", Atom("0"))), ")", separator=" > ")
        return self._truth_of(argument.operator, argument.arguments, argument.path)

    def _truth_of(self, operator: str, arguments: Iterable[Argument], path: str) -> Expression:
        return self._use(_FUNCTIONS[operator], *(self._argument(argument) for argument in arguments), path=path)

    def _chain(self, operator: str, arguments: tuple[Argument, ...], path: str) -> Expression:
        if not arguments:
            return Atom(str(operator == "AND"))
        parts = tuple(("", self._truth(argument)) for argument in arguments)
        return Group("(", parts, ")", separator=_CHAINS[operator], path=path)

    def _argument(self, argument: Argument) -> Expression:
        """An expression for an operand: a value, the number of a LENGTH, or the boolean of another operation."""
        if isinstance(argument, Operand):
            return self._value(argument.value, argument.path)
        if argument.operator == "LENGTH":
            return self._truth_of("LENGTH", argument.arguments, argument.path)
        return self._truth(argument)


_CHAINS: Final[Mapping[str, str]] = {"AND": " and ", "OR": " or "}

_NEGATIONS: Final[Mapping[str, str]] = {"NE": "EQ", "NOT_IN": "IN", "IS_NOT_EMPTY": "IS_EMPTY"}

_FUNCTIONS: Final[Mapping[str, str]] = {
    "GT": "greater",
    "GTE": "at_least",
    "LT": "less",
    "LTE": "at_most",
    "EQ": "equal",
    "STARTS_WITH": "starts_with",
    "ENDS_WITH": "ends_with",
    "CONTAINS": "contains",
    "IN": "is_in",
    "LENGTH": "length",
    "IS_DEFINED": "is_defined",
    "IS_EMPTY": "is_empty",
}


def _opened(group: Group) -> Group:
    return Group(group.opening, group.parts, group.closing, is_open=True)


def _texts(lines: Iterable[Line]) -> list[str]:
    return [text for text, _ in lines]


def _facts(planned: PlannedStep) -> dict[str, Expression]:
    """The arguments of a step's constant; what is as usual is left out."""
    step = planned.step
    facts: dict[str, object] = {"id": step.id, "name": step.name}
    if isinstance(step, AgentStep):
        assert planned.capability is not None
        facts |= {"agent": planned.agent_id, "capability": planned.capability.id}
        facts |= {"max_retries": step.max_retries, "retry_delay_ms": step.retry_delay, "timeout_ms": step.timeout}
    return {name: literal(value) for name, value in facts.items() if value is not None}


def _comment(text: str) -> str:
    """The printable part of a text, short enough for a comment."""
    plain = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()
    return plain if len(plain) <= 60 else f"{plain[:59]}…"


def _falls_through(body: Body, program: Program) -> bool:
    """Whether a run can come to the end of the body."""
    if not body.items:
        return True
    last = body.items[-1]
    if isinstance(last, Choice):
        return _falls_through(last.when_true, program) or _falls_through(last.when_false, program)
    return isinstance(last, Joined) or not isinstance(program.steps[last.step].step, FinishStep)
