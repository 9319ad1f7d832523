"""Places: nothing covers anything, arrows go down beside boxes, and few of them cross."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara.dsl.drawing.layout import Box, Sheet, arrange

Links = list[tuple[str, str]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], Links]:
    """Up to a dozen nodes of different sizes, and any links, also in circles and to themselves."""
    count = draw(st.integers(1, 12))
    names = [f"n{number}" for number in range(count)]
    sizes = {name: (draw(st.floats(10, 300)), draw(st.floats(10, 400))) for name in names}
    ends = st.sampled_from(names)
    return sizes, draw(st.lists(st.tuples(ends, ends), max_size=20))


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


@given(graphs())
def test_no_box_covers_another(graph: tuple[dict[str, tuple[float, float]], Links]) -> None:
    sizes, links = graph
    sheet = arrange(sizes, links)
    assert {key: (box.width, box.height) for key, box in sheet.boxes.items()} == sizes
    assert not any(overlap(one, other) for one, other in combinations(sheet.boxes.values(), 2))


@given(graphs())
def test_everything_is_on_the_sheet(graph: tuple[dict[str, tuple[float, float]], Links]) -> None:
    sheet = arrange(*graph)
    for box in sheet.boxes.values():
        assert box.x >= -0.001
        assert box.y >= 0
        assert box.x + box.width <= sheet.width + 0.001
        assert box.y + box.height <= sheet.height + 0.001


@given(graphs())
def test_where_an_arrow_goes_straight_down_there_is_no_box(
    graph: tuple[dict[str, tuple[float, float]], Links],
) -> None:
    sheet = arrange(*graph)
    assert len(sheet.routes) == len(graph[1])
    for route in sheet.routes:
        for (x, top), (end_x, bottom) in pairwise(route.points):
            if x == end_x and bottom > top:
                assert not any(covers(box, x, top, bottom) for box in sheet.boxes.values())


def covers(box: Box, x: float, top: float, bottom: float) -> bool:
    margin = 0.01
    inside = box.x + margin < x < box.x + box.width - margin
    return inside and box.y + margin < bottom and top < box.y + box.height - margin


def test_who_follows_is_below() -> None:
    sheet = arrange(dict.fromkeys("abc", (40, 20)), [("a", "b"), ("b", "c"), ("a", "c")])
    a, b, c = (sheet.boxes[key] for key in "abc")
    assert a.y + a.height < b.y
    assert b.y + b.height < c.y


def test_an_arrow_that_closes_a_circle_points_upwards() -> None:
    sheet = arrange(dict.fromkeys("ab", (40, 20)), [("a", "b"), ("b", "a")])
    assert [route.is_upward for route in sheet.routes] == [False, True]


def test_arrows_that_need_not_cross_do_not() -> None:
    sheet = arrange(dict.fromkeys("abcdef", (40, 20)), [("a", "b"), ("a", "c"), ("b", "e"), ("c", "d"), ("c", "f")])
    ends = [(route.points[0][0], route.points[-1][0]) for route in sheet.routes[2:]]
    for (one, other_end), (other, end) in combinations(sorted(ends), 2):
        assert one == other or other_end <= end


def test_a_chain_is_a_straight_line() -> None:
    sheet = arrange({"a": (40, 20), "b": (200, 30), "c": (80, 20)}, [("a", "b"), ("b", "c")])
    assert len({round(box.x + box.width / 2, 3) for box in sheet.boxes.values()}) == 1


def test_nothing_has_a_sheet_as_well() -> None:
    assert arrange({}, []) == Sheet({}, (), 0.0, 0.0)


@pytest.mark.timeout(10)
def test_a_thousand_steps_are_placed_in_seconds() -> None:
    names = [f"n{number}" for number in range(1000)]
    links = [*pairwise(names), *((names[at], names[at + 3]) for at in range(0, 990, 5))]
    assert len(arrange(dict.fromkeys(names, (120.0, 50.0)), links).boxes) == 1000
