"""Templates: text with values in it, in the Jinja language, safe to run whoever wrote them.

::

    render("Dear {{ data.name }}", {"data": {"name": "Ann"}})

A missing name is an error, and so is everything that Python would let happen beside the text: attributes that begin
with an underscore, methods other than a few harmless ones, chance, files. A template stands alone and includes nothing.
Numbers and texts come out as they are, booleans as ``true`` and ``false``, null as ``none``, arrays and objects as
JSON. A member of an object goes before a method of the same name.

The engine is loaded by the first who asks: it takes 40 ms, and most scenarios have no template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtara.limits import TEMPLATE_CHARACTERS_MAX

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ("TemplateFailed", "TemplateInvalid", "check", "referenced_names", "referenced_paths", "render")


class TemplateInvalid(ValueError):
    """The text is no template; the message says where and why. No context makes it one."""


class TemplateFailed(ValueError):
    """The template could not be rendered with this context: a name is missing, a value does not fit, it is too much."""


def render(template: str, context: Mapping[str, Any]) -> str:
    """The text of the template, with the names of the context. The context is not changed.

    Raises:
        TemplateInvalid: see ``check``.
        TemplateFailed: a name is missing, an operation makes no sense, or the text or the work goes beyond
            ``TEMPLATE_OUTPUT_CHARACTERS_MAX`` or ``TEMPLATE_WORK_MAX``.
    """
    return str(_engine(template).render(template, context))


def check(template: str) -> None:
    """Return when the template can be rendered with some context.

    Raises:
        TemplateInvalid: its syntax is wrong, it uses a filter or a test that there is not, asks for another template,
            or is longer than ``TEMPLATE_CHARACTERS_MAX``.
    """
    _engine(template).compiled(template)


def referenced_names(template: str) -> frozenset[str]:
    """The names that the template takes from its context: ``data``, ``steps``.

    Raises:
        TemplateInvalid: see ``check``.
    """
    return frozenset(path[0] for path in referenced_paths(template))


def referenced_paths(template: str) -> frozenset[tuple[str, ...]]:
    """What the template takes from its context, as far as it can be read: ``("steps", "fetch", "outputs", "0")``.

    A path ends where the next segment is computed.

    Raises:
        TemplateInvalid: see ``check``.
    """
    paths: frozenset[tuple[str, ...]] = _engine(template).referenced_paths(template)
    return paths


def _engine(template: str) -> ModuleType:
    if len(template) > TEMPLATE_CHARACTERS_MAX:
        raise TemplateInvalid(f"it has {len(template)} characters, and may have {TEMPLATE_CHARACTERS_MAX}")
    from runtara.dsl import template_engine

    return template_engine
