"""Emitting: from a program to the Python that a person would have written for it.

The same program gives the same text, byte for byte. Nothing of the document gets into the text but as a literal or as
the printable part of a comment, so no name can break out of its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runtara.compiler.calls import Calls, constant_of, schema_literal
from runtara.compiler.expressions import WIDTH, Atom, Expression, Group, Line, call, layout, literal, text_literal
from runtara.compiler.lower import PlannedChild, PlannedGraph, PlannedStep, Program
from runtara.compiler.values import Values
from runtara.dsl.flow import Arms, Body, Choice, Item, Joined, Visit
from runtara.dsl.model import (
    RATE_LIMIT_BUDGET_MS_DEFAULT,
    ConditionalStep,
    ErrorStep,
    ExecutionGraph,
    FinishStep,
    SwitchStep,
)
from runtara.dsl.paths import child_path
from runtara.dsl.ways import DEFAULT_ROUTE, is_error_way

__all__ = ("Emitted", "emit")


@dataclass(frozen=True, slots=True)
class Emitted:
    """A module, and from which of its lines on the code stands for which step and document path."""

    source: str
    source_map: Mapping[int, tuple[str, str]]


def emit(program: Program) -> Emitted:
    """The module of a program: ``SCENARIO``, a constant for each step, a function for each graph, ``SOURCE_MAP``."""
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

    def __post_init__(self) -> None:
        self.values = Values(self.used)
        self.calls = Calls(self.program, self.values)

    def emit(self) -> None:
        # The body first: what it uses decides what the head imports, and the head decides where the body begins.
        body = _Writer()
        head, self.writer = self.writer, body
        for graph in self.program.graphs:
            self.writer.write("", "")
            self._emit_graph(graph)
        constants = list(self._constants())
        self.writer = head
        self._emit_head(constants)
        offset = len(head.lines)
        head.lines += body.lines
        head.source_map |= {line + offset: place for line, place in body.source_map.items()}
        self._emit_source_map()

    # -- around the functions

    def _emit_head(self, constants: list[str]) -> None:
        main = self.program.main
        title = _comment(main.graph.name or main.scenario_id)
        origin = f'Scenario "{main.scenario_id}", version {main.version}, compiled by Runtara.'
        self.writer.write(f"# {title}", "#", f"# {origin} Change the scenario, not this.", "")
        names = sorted(self.used, key=lambda name: (name.lower() == name, name))
        imports = Group("(", tuple(("", Atom(name)) for name in names), ")", is_open=True)
        line = f"from runtara.stdlib import {', '.join(names)}"
        if len(line) <= WIDTH:
            self.writer.write(line)
        else:
            self.writer.write(*_texts(layout(imports, prefix="from runtara.stdlib import ")))
        self.writer.write("")
        for unit in (main, *self.program.children.values()):
            self.writer.write(*_texts(layout(self._unit(unit), prefix=f"{unit.constant} = ")))
        self.writer.write("", *constants)

    def _unit(self, unit: PlannedChild) -> Expression:
        graph = unit.graph
        facts = {
            "id": unit.scenario_id,
            "version": unit.version,
            "name": graph.name,
            "variables": unit.default_variables or None,
            "input_schema": schema_literal(graph.input_schema),
            "output_schema": schema_literal(graph.output_schema),
            "rate_limit_budget_ms": None
            if graph.rate_limit_budget_ms == RATE_LIMIT_BUDGET_MS_DEFAULT
            else graph.rate_limit_budget_ms,
            "durable": None if unit.is_durable else False,
            "debug": True if self.program.debug else None,
        }
        return call("Scenario", [], {name: literal(value) for name, value in facts.items() if value is not None})

    def _constants(self) -> Iterator[str]:
        for planned in self.program.steps:
            self.used.add(type(planned.step).__name__)
            code = constant_of(planned, debug=self.program.debug)
            yield from _texts(layout(code, prefix=f"{planned.constant} = "))
        for graph in self.program.graphs:
            if graph.constant is not None and graph.document is not None:
                self.used.add("Graph")
                yield from _texts(layout(_own_facts(graph.document), prefix=f"{graph.constant} = "))

    def _emit_source_map(self) -> None:
        self.writer.write("", "", "# From which line on this module stands for which step and place in the scenario.")
        entries = [
            (f"{line}: ", Atom(f"({text_literal(step)}, {text_literal(path)})"))
            for line, (step, path) in sorted(self.writer.source_map.items())
        ]
        self.writer.write(*_texts(layout(Group("{", tuple(entries), "}", is_open=True), prefix="SOURCE_MAP = ")))

    def _emit_graph(self, graph: PlannedGraph) -> None:
        self.writer.write(f"async def {graph.function}(run: Run) -> object:")
        if graph.constant is not None:
            self.writer.write(f"    run = run.inside({graph.constant})", "")
        for mark in graph.flow.marks:
            self.writer.write(f"    {graph.steps[mark].mark} = False")
        if graph.flow.marks:
            self.writer.write("")
        body = _GraphEmitter(graph, self.writer, self.values, self.calls)
        body.emit(graph.flow.body, 4)
        if body.falls_through(graph.flow.body):
            self.writer.write("", "    return await run.end()")


@dataclass
class _GraphEmitter:
    """The statements of one function."""

    graph: PlannedGraph
    writer: _Writer
    values: Values
    calls: Calls

    def emit(self, body: Body, indent: int) -> None:
        """The items of a body, or ``pass``."""
        self._emit_marks(body.marks, indent)
        for index, item in enumerate(body.items):
            if index or body.marks:
                self.writer.write("")
            self._emit_item(item, indent)
        if not body.items and not body.marks:
            self._write(indent, "pass")

    def _write(self, indent: int, text: str) -> None:
        self.writer.write(" " * indent + text)

    def _emit_marks(self, marks: Iterable[str], indent: int) -> None:
        for mark in marks:
            self._write(indent, f"{self.graph.steps[mark].mark} = True")

    def _emit_item(self, item: Item, indent: int) -> None:
        if isinstance(item, Joined):
            self._write(indent, f"if {self.graph.steps[item.step].mark}:")
            self.emit(item.body, indent + 4)
            return
        planned = self.graph.steps[item.step]
        if isinstance(planned.step, ConditionalStep):
            assert isinstance(item, Choice)
            self._emit_conditional(planned, item, indent, "if")
            return
        self._emit_comment(planned, indent)
        handlers = item.sides or _arms_of(item, is_error=True)
        if not handlers:
            self._emit_plain(planned, item, indent)
        elif item.sides:
            self._emit_tried(planned, handlers, indent, is_side=True)
            self._emit_onward(planned, item, indent)
        else:
            self._emit_tried(planned, handlers, indent, is_side=False)
            onward = _arms_of(item, is_error=False)
            if any(body.items or body.marks for _, body in onward):
                self._write(indent, "else:")
                self._emit_ways(planned, onward, indent + 4)

    def _emit_plain(self, planned: PlannedStep, item: Visit | Choice, indent: int) -> None:
        is_end = isinstance(planned.step, FinishStep | ErrorStep)
        self._emit_call(planned, "return await " if is_end else "await ", indent)
        self._emit_onward(planned, item, indent)

    def _emit_onward(self, planned: PlannedStep, item: Visit | Choice, indent: int) -> None:
        """What follows a step that succeeded."""
        if isinstance(item, Visit):
            self._emit_marks(item.marks, indent)
        else:
            self._emit_ways(planned, item.arms, indent)

    def _emit_tried(self, planned: PlannedStep, handlers: Arms, indent: int, *, is_side: bool) -> None:
        self._emit_call(planned, "if not await run.tried(", indent, suffix="):")
        self._emit_arms(planned, handlers, indent + 4, otherwise="raise run.failure()")
        if is_side and any(self.falls_through(body) for _, body in handlers):
            self.writer.write_for(planned.step.id, [(" " * (indent + 4) + "raise run.failure()", planned.path)])

    # -- ways

    def _emit_ways(self, planned: PlannedStep, arms: Arms, indent: int) -> None:
        if isinstance(planned.step, SwitchStep) and planned.ways.forks and planned.ways.forks[-1] == DEFAULT_ROUTE:
            self._emit_routes(planned, arms, indent)
        else:
            self._emit_arms(planned, arms, indent, otherwise=None)

    def _emit_routes(self, planned: PlannedStep, arms: Arms, indent: int) -> None:
        self._write(indent, f"match run.route({planned.constant}):")
        for label, body in arms:
            if label == DEFAULT_ROUTE or not (body.items or body.marks):
                continue
            self._write(indent + 4, f"case {text_literal(label)}:")
            self.emit(body, indent + 8)
        others = [label for label, body in arms if not (body.items or body.marks) and label != DEFAULT_ROUTE]
        if others:
            self._write(indent + 4, f"case {' | '.join(map(text_literal, others))}:")
            self._write(indent + 8, "pass")
        self._write(indent + 4, "case _:")
        self.emit(dict(arms)[DEFAULT_ROUTE], indent + 8)

    def _emit_arms(self, planned: PlannedStep, arms: Arms, indent: int, *, otherwise: str | None) -> None:
        """Arms with conditions one after the other, then the one without, or ``otherwise``."""
        keyword = "if"
        for way, body in arms:
            edge = planned.ways.condition_of(way)
            if edge is None:
                continue
            condition = self.values.condition(edge.condition, child_path(edge.path, "condition"))
            lines = layout(condition, prefix=f"{keyword} ", suffix=":", indent=indent, path=edge.path)
            self.writer.write_for(planned.step.id, lines)
            self.emit(body, indent + 4)
            keyword = "elif"
        plain = next((body for way, body in arms if planned.ways.condition_of(way) is None), None)
        if keyword == "if":
            if plain is not None:
                self.emit(plain, indent)
            return
        if plain is not None and (plain.items or plain.marks):
            self._write(indent, "else:")
            self.emit(plain, indent + 4)
        elif otherwise is not None:
            self._write(indent, "else:")
            self.writer.write_for(planned.step.id, [(" " * (indent + 4) + otherwise, planned.path)])

    # -- Conditional

    def _emit_conditional(self, planned: PlannedStep, item: Choice, indent: int, keyword: str) -> None:
        arms = dict(item.arms)
        self._emit_comment(planned, indent)
        self._emit_call(planned, f"{keyword} await ", indent, suffix=":")
        self.emit(arms["true"], indent + 4)
        self._emit_otherwise(arms["false"], indent)

    def _emit_otherwise(self, body: Body, indent: int) -> None:
        only = body.items[0] if len(body.items) == 1 and not body.marks else None
        planned = None if only is None else self.graph.steps[only.step]
        if isinstance(only, Choice) and planned is not None and isinstance(planned.step, ConditionalStep):
            self._emit_conditional(planned, only, indent, "elif")
        elif body.items or body.marks:
            self._write(indent, "else:")
            self.emit(body, indent + 4)

    # -- one step

    def _emit_comment(self, planned: PlannedStep, indent: int) -> None:
        step = planned.step
        title = f"{_comment(step.name)} ({_comment(step.id)})" if step.name else _comment(step.id)
        what = f"{planned.agent_id}/{planned.capability.id}" if planned.capability else type(step).__name__[:-4]
        self._write(indent, f"# {title}: {_comment(what)}")

    def _emit_call(self, planned: PlannedStep, prefix: str, indent: int, *, suffix: str = "") -> None:
        code = self.calls.call(planned, self.graph)
        lines = layout(code, prefix=prefix, suffix=suffix, indent=indent, path=planned.path)
        self.writer.write_for(planned.step.id, lines)

    def falls_through(self, body: Body) -> bool:
        """Whether a run can come to the end of the body."""
        if not body.items:
            return True
        last = body.items[-1]
        if isinstance(last, Joined):
            return True
        if isinstance(last, Choice):
            ways: Sequence[Body] = [inner for _, inner in last.arms]
            return any(self.falls_through(inner) for inner in ways)
        return not isinstance(self.graph.steps[last.step].step, FinishStep | ErrorStep)


def _own_facts(graph: ExecutionGraph) -> Expression:
    """What the graph of a step says of itself; what is as usual is left out."""
    budget_ms = graph.rate_limit_budget_ms
    facts = {
        "variables": {name: variable.value for name, variable in sorted(graph.variables.items())} or None,
        "input_schema": schema_literal(graph.input_schema),
        "output_schema": schema_literal(graph.output_schema),
        "rate_limit_budget_ms": None if budget_ms == RATE_LIMIT_BUDGET_MS_DEFAULT else budget_ms,
        "durable": None if graph.durable else False,
    }
    return call("Graph", [], {name: literal(value) for name, value in facts.items() if value is not None})


def _arms_of(item: Visit | Choice, *, is_error: bool) -> Arms:
    arms = item.arms if isinstance(item, Choice) else ()
    return tuple((way, body) for way, body in arms if is_error_way(way) is is_error)


def _texts(lines: Iterable[Line]) -> list[str]:
    return [text for text, _ in lines]


def _comment(text: str) -> str:
    """The printable part of a text, short enough for a comment."""
    plain = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()
    return plain if len(plain) <= 60 else f"{plain[:59]}…"
