"""XML into JSON values, element by element and without recursion. Source: dsl.md §12.8.

A document may name a DTD, which is not read, and declare nothing itself: entities and default attributes multiply what
they hold. Prefixes are cut off names, not resolved: a long namespace under a million elements would multiply too.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from xml.parsers import expat
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, InputSource

from defusedxml import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from runtara.agents.errors import AgentError
from runtara.limits import INPUT_BYTES_MAX

__all__ = ("XML_BYTES_MAX", "XML_ELEMENTS_MAX", "XML_NESTING_MAX", "Choices", "read_xml")

XML_BYTES_MAX: Final = INPUT_BYTES_MAX
XML_ELEMENTS_MAX: Final = 1_000_000
"""An empty element of four bytes takes eighty of memory."""
XML_NESTING_MAX: Final = 128
"""An element and the array it is in are two levels of JSON, and JSON of 1,000 levels cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What becomes part of the value."""

    text: bool = True
    attributes: bool = True
    trim: bool = True
    """Blanks around texts are cut off. Between elements, texts of blanks alone are left out in any case."""


def read_xml(text: str, choices: Choices) -> dict[str, Any]:
    """``{name of the root: its value}``.

    An element with nothing but text is that text, an empty one is ``{}``; any other is an object: attributes under
    ``@attributes``, the pieces of text, joined by a blank, under ``@text``, and children under their names, in an
    array where there are several of a name.

    Raises:
        AgentError: ``XML_PARSE_ERROR``: no well-formed XML, declarations, or one of the limits of this module.
    """
    data = text.encode(errors="surrogatepass")  # the parser says what is no character
    if len(data) > XML_BYTES_MAX:
        raise _refusal(f"the document has more than {XML_BYTES_MAX} bytes")
    builder = _Builder(choices)
    source = InputSource()
    source.setByteStream(io.BytesIO(data))
    source.setEncoding("utf-8")  # whatever the document says of bytes that are text already
    parser = _Parser(bufsize=len(data) + 1)  # in one piece: long tokens would be scanned again with every piece
    parser.setContentHandler(builder)
    try:
        parser.parse(source)
    except SAXParseException as error:
        place = {"line": str(error.getLineNumber()), "column": str(error.getColumnNumber())}
        raise AgentError("XML_PARSE_ERROR", f"line {place['line']}: {error.getMessage()}", attributes=place) from None
    except DefusedXmlException as error:
        raise _refusal(f"the document declares entities, or refers to others: {error}") from None
    return builder.result


def _refusal(message: str) -> AgentError:
    return AgentError("XML_PARSE_ERROR", message)


class _Parser(DefusedExpatParser):
    """Does not read a DTD, and refuses what a document declares itself; the rest is defusedxml's."""

    _parser: expat.XMLParserType
    """Made by ``reset``."""

    def reset(self) -> None:
        super().reset()
        self._parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser.StartDoctypeDeclHandler = self._start_doctype

    def _start_doctype(self, name: str, system_id: str | None, public_id: str | None, has_subset: bool) -> None:
        if has_subset:
            raise _refusal("the document has declarations of its own, which are not accepted")


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]
    children: dict[str, Any] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    """The names of children that are arrays."""
    pieces: list[str] = field(default_factory=list)
    """Texts, with children between them."""
    chunks: list[str] = field(default_factory=list)
    """Parts of the text that is being read."""

    def add_child(self, name: str, value: Any) -> None:
        if name not in self.children:
            self.children[name] = value
        elif name in self.repeated:
            self.children[name].append(value)
        else:
            self.repeated.add(name)
            self.children[name] = [self.children[name], value]


class _Builder(ContentHandler):
    """Builds the value while the document is read; ``result`` is there when it was."""

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.result: dict[str, Any] = {}
        self._choices = choices
        self._open: list[_Element] = []
        self._elements = 0

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802 - the name of SAX
        self._elements += 1
        if self._elements > XML_ELEMENTS_MAX:
            raise _refusal(f"the document has more than {XML_ELEMENTS_MAX} elements")
        if len(self._open) == XML_NESTING_MAX:
            raise _refusal(f"elements are nested more than {XML_NESTING_MAX} deep")
        if self._open:
            self._end_piece(self._open[-1])
        self._open.append(_Element(_local(name), self._attributes(attrs)))

    def endElement(self, name: str) -> None:  # noqa: N802 - the name of SAX
        element = self._open.pop()
        self._end_piece(element)
        value = _value(element)
        if self._open:
            self._open[-1].add_child(element.name, value)
        else:
            self.result = {element.name: value}

    def characters(self, content: str) -> None:
        if self._choices.text:
            self._open[-1].chunks.append(content)

    def skippedEntity(self, name: str) -> NoReturn:  # noqa: N802 - the name of SAX
        raise _refusal(f"the entity {name!r} is not declared in the document")

    def _attributes(self, attrs: AttributesImpl) -> dict[str, str]:
        if not self._choices.attributes:
            return {}
        return {_local(name): value for name, value in attrs.items() if not _declares_namespace(name)}

    def _end_piece(self, element: _Element) -> None:
        if element.chunks:
            piece = "".join(element.chunks)
            element.chunks.clear()
            element.pieces.append(piece.strip() if self._choices.trim else piece)


def _value(element: _Element) -> Any:
    pieces = [piece for piece in element.pieces if piece and not (element.children and piece.isspace())]
    text = " ".join(pieces)
    if not element.attributes and not element.children:
        return text or {}
    value: dict[str, Any] = {"@attributes": element.attributes} if element.attributes else {}
    if text:
        value["@text"] = text
    return value | element.children


def _local(name: str) -> str:
    return name.rpartition(":")[2] or name


def _declares_namespace(name: str) -> bool:
    return name == "xmlns" or name.startswith("xmlns:")
