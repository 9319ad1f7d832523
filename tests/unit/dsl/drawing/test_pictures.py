"""Pictures of scenarios: everything is in them, and any text is safe in them."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from defusedxml import ElementTree

from runtara.dsl.drawing import Picture, picture_of, to_mermaid, to_svg
from runtara.dsl.drawing.captions import caption_of, condition_text
from runtara.dsl.drawing.lettering import fitted, text_width
from runtara.dsl.drawing.picture import START
from runtara.dsl.drawing.svg import Drawing, draw
from runtara.errors import ScenarioInvalid

ROOT = Path(__file__).parents[4]
CASES = sorted((ROOT / "docs" / "examples").glob("*.json"))
EXAMPLES = [
    path
    for path in sorted((ROOT / "examples" / "scenarios").glob("*.json"))
    if len(path.suffixes) == 1 and "steps" in json.loads(path.read_text())
]
NASTY = "<b>&\"']]>{{ x }} #; \x00\x1b\ufffe\n``` end|--> 漢字 🚚"


def read(path: Path) -> Any:
    document = json.loads(path.read_text())
    return document.get("scenario", document)


def graph(*steps: dict[str, Any], edges: str = "", **more: Any) -> dict[str, Any]:
    plan = [dict(zip(("fromStep", "toStep", "label"), edge.split(), strict=False)) for edge in edges.split(",") if edge]
    return {"steps": {step["id"]: step for step in steps}, "entryPoint": steps[0]["id"], "executionPlan": plan} | more


def finish(step_id: str = "finish", **more: Any) -> dict[str, Any]:
    return {"stepType": "Finish", "id": step_id} | more


def agent(step_id: str, **more: Any) -> dict[str, Any]:
    return {"stepType": "Agent", "id": step_id, "agentId": "utils", "capabilityId": "do-nothing"} | more


def steps_of(document: Any, prefix: str = "") -> Iterator[str]:
    for key, step in document.get("executionGraph", document)["steps"].items():
        yield prefix + key
        for name in ("subgraph", "onWait"):
            if name in step:
                yield from steps_of(step[name], f"{prefix}{key}/")


def edges_of(document: Any, prefix: str = "") -> Iterator[tuple[str, str, bool]]:
    inner = document.get("executionGraph", document)
    for edge in inner.get("executionPlan", ()):
        yield prefix + edge["fromStep"], prefix + edge["toStep"], edge.get("label") == "onError"
    for key, step in inner["steps"].items():
        for name in ("subgraph", "onWait"):
            if name in step:
                yield from edges_of(step[name], f"{prefix}{key}/")


def drawings(drawing: Drawing) -> Iterator[Drawing]:
    yield drawing
    for inner in drawing.inner.values():
        yield from drawings(inner)


@pytest.mark.parametrize("path", CASES + EXAMPLES, ids=lambda path: path.stem)
def test_every_step_and_every_edge_is_in_the_svg(path: Path) -> None:
    document = read(path)
    tree = ElementTree.fromstring(to_svg(picture_of(document)))
    assert sorted(each.get("data-step") for each in tree.iter() if each.get("data-step")) == sorted(steps_of(document))
    drawn = {
        (each.get("data-from"), each.get("data-to"), each.get("class") == "failure")
        for each in tree.iter()
        if each.get("data-from") and START not in each.get("data-from")
    }
    assert drawn == set(edges_of(document))


@pytest.mark.parametrize("path", CASES + EXAMPLES, ids=lambda path: path.stem)
def test_no_box_covers_another_and_inner_graphs_are_inside(path: Path) -> None:
    for drawing in drawings(draw(picture_of(read(path)))):
        for one, other in combinations(drawing.sheet.boxes.values(), 2):
            apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y
        for key, inner in drawing.inner.items():
            box = drawing.sheet.boxes[key]
            assert inner.sheet.width < box.width
            assert inner.sheet.height + 46 < box.height


@pytest.mark.parametrize("path", CASES + EXAMPLES, ids=lambda path: path.stem)
def test_no_label_stands_on_another_or_on_a_box(path: Path) -> None:
    for drawing in drawings(draw(picture_of(read(path)))):
        assert_readable(drawing)


def test_long_labels_side_by_side_can_all_be_read() -> None:
    routes = [f"a rather long name of a route {number}" for number in range(6)]
    cases = [{"matchType": "EQ", "match": route, "route": route} for route in routes]
    value = {"valueType": "reference", "value": "data.x"}
    switch = {"stepType": "Switch", "id": "s", "config": {"value": value, "cases": cases}}
    document = graph(switch, *(finish(f"f{number}") for number in range(3)), finish())
    plan = [{"fromStep": "s", "toStep": f"f{number % 3}", "label": route} for number, route in enumerate(routes)]
    document["executionPlan"] = [*plan, {"fromStep": "s", "toStep": "finish", "label": "default"}]
    assert_readable(draw(picture_of(document)))


def assert_readable(drawing: Drawing) -> None:
    boxes = [label.box for label in drawing.labels]
    for one, other in [
        *combinations(boxes, 2),
        *((box, step) for box in boxes for step in drawing.sheet.boxes.values()),
    ]:
        apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y


@pytest.mark.parametrize("path", CASES + EXAMPLES, ids=lambda path: path.stem)
def test_every_step_and_every_edge_is_in_the_mermaid_text(path: Path) -> None:
    picture = picture_of(read(path))
    lines = to_mermaid(picture).splitlines()
    assert lines[0] == "flowchart TD"
    arrows = [line for line in lines if re.match(r" +n\d+ (-->|-\.->)", line)]
    assert len(arrows) == sum(len(each.picture.arrows) for each in drawings(draw(picture)))
    assert sum(line.strip() == "end" for line in lines) == sum("subgraph " in line for line in lines)
    for step in steps_of(read(path)):
        assert any(re.match(r" +(subgraph )?n\d+[\[({]", line) for line in lines), step


def test_a_picture_is_the_same_every_time() -> None:
    document = read(ROOT / "docs" / "examples" / "switch.json")
    assert to_svg(picture_of(document)) == to_svg(picture_of(document))


def test_any_text_is_safe_in_svg() -> None:
    document = graph(agent("a", name=NASTY), finish("b" + NASTY), name=NASTY)
    document["executionPlan"] = [{"fromStep": "a", "toStep": "b" + NASTY}]
    svg = to_svg(picture_of(document))
    tree = ElementTree.fromstring(svg)
    assert "<b>" not in svg
    assert any("漢字" in (each.text or "") for each in tree.iter())


def test_any_text_is_safe_in_mermaid() -> None:
    lines = to_mermaid(picture_of(graph(agent("a", name=NASTY), finish(), edges="a finish"))).splitlines()
    (line,) = (line for line in lines if "漢字" in line)
    inside = line.split('"')[1]
    assert line == f'  n1("{inside}")'
    assert not set(inside.replace("<br/>", "")) & set("<>&{}|`\\[]()")


def test_a_failure_is_dashed_and_a_plain_edge_is_not() -> None:
    picture = picture_of(graph(agent("a"), finish(), finish("sorry"), edges="a finish,a sorry onError"))
    tree = ElementTree.fromstring(to_svg(picture))
    dashed = {each.get("data-to"): each.get("stroke-dasharray") for each in tree.iter() if each.get("data-to")}
    assert (dashed["finish"], dashed["sorry"] is not None) == (None, True)
    assert "-.->" in to_mermaid(picture)


def test_edges_between_the_same_steps_are_one_arrow_with_all_labels() -> None:
    switch = {"stepType": "Switch", "id": "s", "config": {"value": {"valueType": "reference", "value": "data.x"}}}
    picture = picture_of(graph(switch, finish(), edges="s finish far,s finish default"))
    (arrow,) = (arrow for arrow in picture.arrows if arrow.source == "s")
    assert arrow.label == "far, default"


def test_a_condition_of_an_edge_is_its_label() -> None:
    condition = {"type": "operation", "op": "IS_EMPTY", "arguments": [{"valueType": "reference", "value": "data.x"}]}
    document = graph(agent("a"), finish(), edges="a finish")
    document["executionPlan"][0]["condition"] = condition
    assert [arrow.label for arrow in picture_of(document).arrows] == ["", "if data.x is empty"]


def test_what_has_mistakes_is_drawn_as_far_as_it_can_be_read() -> None:
    document = graph({"stepType": "Nonsense", "id": "a"}, agent("b", subgraph=7), edges="a b,b a,a nowhere")
    picture = picture_of(document)
    assert [(node.key, node.kind) for node in picture.nodes] == [("%start", "Start"), ("a", "Nonsense"), ("b", "Agent")]
    ElementTree.fromstring(to_svg(picture))
    assert "Nonsense" in to_mermaid(picture)


@pytest.mark.parametrize("document", [b"{", b"[]", b"17"])
def test_what_cannot_be_read_at_all_is_refused(document: bytes) -> None:
    with pytest.raises(ScenarioInvalid):
        picture_of(document)


def test_an_empty_graph_has_a_picture() -> None:
    assert picture_of({"steps": {}, "entryPoint": "a"}) == Picture("", (), ())


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"valueType": "reference", "value": "data.x"}, "data.x"),
        ({"type": "operation", "op": "NOT", "arguments": [{"valueType": "immediate", "value": True}]}, "not true"),
        (
            {
                "type": "operation",
                "op": "OR",
                "arguments": [
                    {"type": "operation", "op": "AND", "arguments": [{"valueType": "reference", "value": "a"}] * 2},
                    {"valueType": "immediate", "value": "x"},
                ],
            },
            '(a and a) or "x"',
        ),
        ({"type": "operation", "op": 7}, "…"),
        (None, ""),
    ],
)
def test_conditions_are_written_as_people_write_them(condition: Any, text: str) -> None:
    assert condition_text(condition) == text


@pytest.mark.parametrize(
    ("kind", "step", "caption"),
    [
        ("Agent", {"agentId": "http", "capabilityId": "request"}, "http · request"),
        ("Delay", {"durationMs": {"valueType": "immediate", "value": 7_200_000}}, "2 h"),
        ("Delay", {"durationMs": {"valueType": "immediate", "value": 1500}}, "1500 ms"),
        ("Delay", {"durationMs": {"valueType": "reference", "value": "data.wait"}}, "data.wait"),
        ("StartScenario", {"childScenarioId": "kid", "childVersion": 2}, "kid @ 2"),
        ("Finish", {"inputMapping": {"a": 1, "b": 2}}, "a, b"),
        ("Log", {"message": "x" * 50}, "x" * 37 + "…"),
        ("Nonsense", {}, ""),
        ("Agent", {"agentId": 7}, ""),
    ],
)
def test_a_caption_tells_a_step_from_others(kind: str, step: Any, caption: str) -> None:
    assert caption_of(kind, step) == caption


def test_a_text_is_cut_where_the_room_ends() -> None:
    assert fitted("short", 10, 100) == "short"
    cut = fitted("a long text that does not fit", 10, 60)
    assert cut.endswith("…")
    assert text_width(cut, 10) <= 60
    assert text_width("漢字", 10) > text_width("ab", 10)
