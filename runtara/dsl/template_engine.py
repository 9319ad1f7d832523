"""The engine behind ``runtara.dsl.templates``: Jinja's sandbox, with everything paid for from a budget.

Jinja keeps templates away from Python, but not from doing too much. So this environment hands out values of JSON and a
few harmless methods only, and rewrites a template before it is compiled: every turn of a loop, call of a macro,
comparison and joining of texts pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, TypeVar

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, meta, nodes, pass_context
from jinja2.runtime import Context, LoopContext, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from runtara.dsl.template_budget import CHARACTERS_PER_UNIT, budget, check_length, spend, spend_on
from runtara.dsl.template_filters import FILTERS, TESTS, text_of
from runtara.dsl.templates import TemplateFailed, TemplateInvalid
from runtara.limits import TEMPLATE_OUTPUT_CHARACTERS_MAX

__all__ = ("compiled", "referenced_paths", "render")

N = TypeVar("N", bound=nodes.Node)

_PLACE: Final = "<template>"
_BITS_MAX: Final = 4096
_COMPILED_MAX: Final = 128


def render(template: str, context: Mapping[str, Any]) -> str:
    """See ``templates.render``."""
    ready = compiled(template)
    try:
        with budget():
            return _joined(ready.root_render_func(ready.new_context(dict(context))))
    except Exception as error:
        raise TemplateFailed(_place_of(error.__traceback__, ready) + _said(error)) from error


def _joined(pieces: Iterable[str]) -> str:
    text: list[str] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > TEMPLATE_OUTPUT_CHARACTERS_MAX:
            check_length(length)
        text.append(piece)
    return "".join(text)


def _place_of(trace: TracebackType | None, template: Template) -> str:
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _PLACE:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return "" if line is None else f"line {line}: "


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) or type(error).__name__


@lru_cache(_COMPILED_MAX)
def compiled(template: str) -> Template:
    """The template, ready to be rendered.

    Raises:
        TemplateInvalid: see ``templates.check``.
    """
    try:
        code = _ENVIRONMENT.compile(_parsed(template), filename=_PLACE)
        return Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.globals)
    except TemplateInvalid:
        raise
    except Exception as error:  # Jinja and Python have many words for a text that is no template.
        raise _invalid(error) from error


def referenced_paths(template: str) -> frozenset[tuple[str, ...]]:
    """See ``templates.referenced_paths``."""
    try:
        tree = _parsed(template)
        names = meta.find_undeclared_variables(tree)
        return frozenset(_paths(tree, names))
    except TemplateInvalid:
        raise
    except Exception as error:
        raise _invalid(error) from error


def _invalid(error: Exception) -> TemplateInvalid:
    if isinstance(error, TemplateSyntaxError):
        return TemplateInvalid(f"line {error.lineno}: {error.message}")
    return TemplateInvalid(_said(error))


def _parsed(template: str) -> nodes.Template:
    tree = _ENVIRONMENT.parse(template, filename=_PLACE)
    for other in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise TemplateInvalid(f"line {other.lineno}: a template stands alone, and cannot ask for another one")
    return tree


def _paths(node: nodes.Node, names: set[str]) -> Iterator[tuple[str, ...]]:
    path = _path_of(node)
    if path is not None and path[0] in names:
        yield path
        return
    for child in node.iter_child_nodes():
        yield from _paths(child, names)


def _path_of(node: nodes.Node) -> tuple[str, ...] | None:
    match node:
        case nodes.Name(ctx="load"):
            return (node.name,)
        case nodes.Getattr():
            segment = node.attr
        case nodes.Getitem(arg=nodes.Const(value=str() | int() as key)):
            segment = str(key)
        case _:
            return None
    before = _path_of(node.node)
    return None if before is None else (*before, segment)


# ---- what a template is rewritten to


class _Payments(NodeTransformer):
    """Puts payments into a template. The names of their filters cannot be written in one."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - the name that the visitor looks for
        self.generic_visit(node)
        pay = _payment(node.body, node.lineno)
        if node.test is None:
            node.body.insert(0, _statement(pay))
        else:
            node.test = nodes.And(pay, node.test, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return _filter(node.nodes[0], "~joined", node.nodes[1:], node.lineno)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        self.generic_visit(node)
        node.expr = _filter(node.expr, "~compared", [], node.lineno)
        for operand in node.ops:
            operand.expr = _filter(operand.expr, "~compared", [], node.lineno)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filter(node.node, "~sliced", [], node.lineno)
        return node

    def _visit_body(self, node: N) -> N:
        self.generic_visit(node)
        body: list[nodes.Node] = getattr(node, "body")  # noqa: B009 - the nodes with a body have no common class
        body.insert(0, _statement(_payment(body, node.lineno)))
        return node

    visit_Macro = visit_CallBlock = visit_Block = _visit_body  # noqa: N815


def _statement(expression: nodes.Expr) -> nodes.ExprStmt:
    return nodes.ExprStmt(expression, lineno=expression.lineno)


def _payment(body: Iterable[nodes.Node], line: int) -> nodes.Filter:
    units = 1 + sum(map(_weight, body))
    return _filter(nodes.Const(units, lineno=line), "~spent", [], line)


def _weight(node: nodes.Node) -> int:
    own = len(node.data) // CHARACTERS_PER_UNIT if isinstance(node, nodes.TemplateData) else 0
    return 1 + own + sum(map(_weight, node.iter_child_nodes()))


def _filter(value: nodes.Expr, name: str, arguments: list[nodes.Expr], line: int) -> nodes.Filter:
    return nodes.Filter(value, name, arguments, [], None, None, lineno=line)


@pass_context
def _spent(_: Context, units: int) -> bool:
    spend(max(units, 0))
    return True


@pass_context
def _compared(_: Context, value: Any) -> Any:
    spend_on(value)
    return value


@pass_context
def _sliced(_: Context, value: Any) -> Any:
    if isinstance(value, list | tuple | str):
        spend(len(value))
    return value


@pass_context
def _concatenated(_: Context, *values: Any) -> str:
    texts = [text_of(value) for value in values]
    check_length(sum(map(len, texts)))
    return "".join(texts)


@pass_context
def _printed(_: Context, value: Any) -> str:
    """What an expression prints. With the context, so that Jinja does not try it when it compiles."""
    text = text_of(value)
    check_length(len(text))
    return text


# ---- what values offer


class _Method(StrictUndefined):
    """A method of a value. It can be called; for everything else there is no such name."""

    __slots__ = ("_method", "_value")

    def __init__(self, value: Any, method: str, hint: str) -> None:
        super().__init__(hint=hint, name=method)
        self._value = value
        self._method = method

    def run(self, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """What the method returns."""
        spend(1 + len(self._value))
        return getattr(self._value, self._method)(*arguments, **options)


_OF_THE_COMPILER: Final = ("_loop_vars", "_block_vars")
"""What Jinja adds to the arguments of a call."""

_METHODS: Final[Mapping[type, frozenset[str]]] = {
    dict: frozenset({"get", "items", "keys", "values"}),
    str: frozenset(
        {"capitalize", "endswith", "find", "lower", "lstrip", "removeprefix", "removesuffix", "rstrip", "split"}
        | {"splitlines", "startswith", "strip", "title", "upper"}
    ),
}
"""All of them are done in one pass, and none returns more than it was given."""

_OWN: Final = (Undefined, LoopContext, Macro, Namespace, Cycler, Joiner, TemplateReference)
"""What Jinja makes itself; its sandbox knows what of it is safe."""


class _Environment(ImmutableSandboxedEnvironment):
    """See the module."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Payments().visit(tree)
        tree.set_environment(self)
        return tree

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The member of an object or the attribute of one of Jinja's own; methods only where they are harmless."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, _OWN) or (isinstance(obj, tuple) and attribute in getattr(obj, "_fields", ())):
            return super().getattr(obj, attribute)
        hint = f"there is no {attribute!r} in {_kind(obj)}"
        if attribute in _METHODS.get(type(obj), ()):
            return _Method(obj, attribute, hint)
        return self.undefined(hint=hint, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The member of an object, the item of an array, the character of a text."""
        if isinstance(obj, Undefined):
            return super().getitem(obj, argument)
        if isinstance(obj, dict | list | tuple | str):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        return self.undefined(hint=f"there is no {argument!r} in {_kind(obj)}")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The result of a method, a macro or a function of Jinja."""
        if not isinstance(obj, _Method):
            spend(1)
            return super().call(context, obj, *args, **kwargs)
        return obj.run(args, {name: value for name, value in kwargs.items() if name not in _OF_THE_COMPILER})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The result of an operation, when it stays small."""
        _OPERATIONS[operator](left, right)
        return super().call_binop(context, operator, left, right)


def _kind(value: Any) -> str:
    match value:
        case dict():
            return "the object"
        case list() | tuple():
            return f"the array of {len(value)}"
        case str():
            return "a text"
        case None:
            return "null"
        case _:
            return f"a value of the type {type(value).__name__}"


def _check_sum(left: Any, right: Any) -> None:
    if isinstance(left, str) and isinstance(right, str):
        check_length(len(left) + len(right))
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        spend(len(left) + len(right))


def _check_product(left: Any, right: Any) -> None:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str) and isinstance(other, int):
            check_length(len(one) * max(other, 0))
        elif isinstance(one, list | tuple) and isinstance(other, int):
            spend(len(one) * max(other, 0))
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * max(right, 0))


def _check_bits(bits: int) -> None:
    if bits > _BITS_MAX:
        raise OverflowError(f"a number would have more than {_BITS_MAX} bits")


def _check_remainder(left: Any, _: Any) -> None:
    if isinstance(left, str):
        raise TypeError("% is for numbers; texts have the filter format")


_OPERATIONS: Final[Mapping[str, Callable[[Any, Any], None]]] = {
    "+": _check_sum,
    "*": _check_product,
    "**": _check_power,
    "%": _check_remainder,
}


def _new_environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, optimized=False, finalize=_printed, cache_size=0)
    del environment.globals["lipsum"]
    payments = {"~spent": _spent, "~compared": _compared, "~sliced": _sliced, "~joined": _concatenated}
    environment.filters = {**FILTERS, **payments}
    environment.tests = dict(TESTS)
    return environment


_ENVIRONMENT: Final = _new_environment()
