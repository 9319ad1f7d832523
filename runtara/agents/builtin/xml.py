"""XML. Source: dsl.md §12.8."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from runtara.agents.builtin.documents import Data, DataFormat, document_text
from runtara.agents.builtin.text_encodings import find_codec
from runtara.agents.builtin.xml_reader import Choices, read_xml
from runtara.agents.capability import agent, capability
from runtara.agents.errors import AgentError

__all__ = ("Xml", "XmlText")


class XmlText(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of ``from-xml``."""

    data: Data
    data_format: DataFormat = "auto"
    encoding: Annotated[str, Meta(description="Of bytes: UTF-8, whatever the document says of itself.")] = "UTF-8"
    preserve_text: Annotated[bool, Meta(description="Without, elements have no text.")] = True
    include_attributes: Annotated[bool, Meta(description="Without, elements have no attributes.")] = True
    trim_text: Annotated[bool, Meta(description="Whether blanks around texts are cut off.")] = True


@agent(id="xml", name="XML")
class Xml:
    """Read XML."""

    @capability(side_effects=False)
    def from_xml(self, inputs: XmlText) -> dict[str, Any]:
        """The document as an object of its root, with @attributes, @text and children; arrays for repeated names.

        Prefixes of namespaces, comments and processing instructions are left out.
        """
        codec = find_codec(inputs.encoding)
        if codec != "utf-8":
            raise AgentError("XML_ENCODING_ERROR", "only UTF-8 is read", attributes={"encoding": inputs.encoding[:60]})
        text = document_text(inputs.data, inputs.data_format, codec=codec, prefix="XML")
        choices = Choices(text=inputs.preserve_text, attributes=inputs.include_attributes, trim=inputs.trim_text)
        return read_xml(text, choices)
