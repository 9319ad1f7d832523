"""Pictures of scenarios: as Mermaid text, and as SVG. A scenario with mistakes has a picture of what could be read."""

from runtara.dsl.drawing.mermaid import to_mermaid as to_mermaid
from runtara.dsl.drawing.picture import Picture as Picture
from runtara.dsl.drawing.picture import picture_of as picture_of
from runtara.dsl.drawing.svg import to_svg as to_svg

__all__ = ("Picture", "picture_of", "to_mermaid", "to_svg")
