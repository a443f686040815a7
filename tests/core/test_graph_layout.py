from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core import graph_layout
from penstock.core.graph_layout import Box, Edge, Graph, Layout, Node, layout, text_width, to_dot, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def graph(*edges: str, nodes: str = "") -> Graph:
    """``graph("a>b", "b>c")``: nodes are made as they are named."""
    ends = [tuple(edge.split(">")) for edge in edges]
    names = dict.fromkeys([*nodes.split(), *itertools.chain(*ends)])
    return Graph([Node(name) for name in names], [Edge(source, target) for source, target in ends])


@st.composite
def acyclic_graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 25))
    order = draw(st.permutations(range(count)))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    edges = draw(st.lists(pairs, max_size=50)) if count > 1 else []
    nodes = [Node(str(number), draw(st.text(max_size=40))) for number in range(count)]
    return Graph(nodes, [Edge(str(order[source]), str(order[target])) for source, target in edges])


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def layers(made: Layout) -> dict[str, int]:
    return {name: box.layer for name, box in made.boxes.items()}


def row(made: Layout, layer: int) -> str:
    """The nodes of a layer from left to right."""
    found = sorted((box.x, name) for name, box in made.boxes.items() if box.layer == layer)
    return "".join(name for _, name in found)


class TestLayout:
    @given(acyclic_graphs())
    def test_each_edge_leads_down(self, some: Graph):
        made = layout(some)

        for edge, route in zip(some.edges, made.routes, strict=True):
            source, target = made.boxes[edge.source], made.boxes[edge.target]
            assert source.layer < target.layer
            assert source.y + source.height < target.y
            assert route[0] == pytest.approx((source.x + source.width / 2, source.y + source.height))
            assert route[-1] == pytest.approx((target.x + target.width / 2, target.y))
            assert all(upper[1] < lower[1] for upper, lower in itertools.pairwise(route))

    @given(acyclic_graphs())
    def test_no_two_nodes_overlap_and_all_lie_inside_the_picture(self, some: Graph):
        made = layout(some)

        assert list(made.boxes) == [node.id for node in some.nodes]
        assert not any(overlap(one, other) for one, other in itertools.combinations(made.boxes.values(), 2))
        for box in made.boxes.values():
            assert box.x >= 0
            assert box.y >= 0
            assert box.x + box.width <= made.width
            assert box.y + box.height <= made.height

    @given(acyclic_graphs())
    def test_the_way_of_an_edge_avoids_all_nodes_between_its_ends(self, some: Graph):
        made = layout(some)

        for route in made.routes:
            for (upper_x, upper_y), (lower_x, lower_y) in itertools.pairwise(route[1:-1]):
                line = Box(min(upper_x, lower_x), upper_y, abs(upper_x - lower_x), lower_y - upper_y, 0, 0)
                if upper_x == lower_x:
                    assert not any(overlap(line, box) for box in made.boxes.values())

    @given(acyclic_graphs())
    def test_the_same_graph_gives_the_same_picture(self, some: Graph):
        assert to_svg(some, layout(some)) == to_svg(some, layout(some))

    @given(acyclic_graphs())
    def test_places_count_from_the_left(self, some: Graph):
        made = layout(some)
        for layer in set(layers(made).values()):
            boxes = sorted((box for box in made.boxes.values() if box.layer == layer), key=lambda box: box.x)
            assert [box.place for box in boxes] == list(range(len(boxes)))

    def test_a_node_stands_one_below_the_longest_way_to_it(self):
        assert layers(layout(graph("a>b", "b>c", "c>d", "a>d"))) == {"a": 0, "b": 1, "c": 2, "d": 3}

    def test_an_input_that_is_needed_late_stands_right_above_its_need(self):
        assert layers(layout(graph("a>b", "b>c", "input>c"))) == {"a": 0, "b": 1, "c": 2, "input": 1}

    def test_crossings_are_undone(self):
        made = layout(graph("a>z", "b>y", "c>x", nodes="a b c x y z"))

        assert row(made, 1) == {"abc": "zyx", "cba": "xyz"}[row(made, 0)]

    def test_parts_that_have_nothing_to_do_with_each_other_stand_side_by_side(self):
        made = layout(graph("a>b", "c>d", nodes="a c b d e"))

        assert row(made, 0) == "ace"
        assert made.boxes["b"].x + made.boxes["b"].width < made.boxes["d"].x

    def test_a_single_child_stands_straight_below(self):
        made = layout(graph("a>b"))

        assert made.routes == [
            [(made.routes[0][0][0], made.routes[0][0][1]), (made.routes[0][0][0], made.boxes["b"].y)]
        ]

    def test_a_long_edge_is_led_past_the_nodes_between(self):
        made = layout(graph("a>b", "b>c", "a>c"))

        assert len(made.routes[2]) == 4
        x = made.routes[2][1][0]
        box = made.boxes["b"]
        assert x < box.x or x > box.x + box.width

    def test_the_same_edge_twice_takes_the_same_way(self):
        made = layout(graph("a>b", "b>c", "a>c", "a>c"))

        assert made.routes[2] == made.routes[3]

    def test_too_many_long_edges_go_straight(self):
        chain = [f"{number}>{number + 1}" for number in range(60)]
        made = layout(graph(*chain, *[f"{number}>60" for number in range(50)]))

        assert {len(route) for route in made.routes[60:]} >= {2, 22}

    def test_a_chain_and_a_fan_of_thousands_are_laid_out(self):
        chain = layout(graph(*[f"{number}>{number + 1}" for number in range(5000)]))
        fan = layout(graph(*[f"a>{number}" for number in range(5000)], *[f"{number}>z" for number in range(5000)]))

        assert max(layers(chain).values()) == 5000
        assert max(layers(fan).values()) == 2
        assert fan.boxes["a"].x == pytest.approx(fan.width / 2, rel=0.3)

    def test_an_empty_graph_is_an_empty_picture(self):
        made = layout(Graph([]))

        assert made.boxes == {}
        assert made.routes == []
        assert ET.fromstring(to_svg(Graph([]), made)).tag == f"{SVG}svg"


class TestRefusing:
    @pytest.mark.parametrize(
        ("edges", "cycle"),
        [
            (["a>a"], "a → a"),
            (["a>b", "b>a"], "a → b → a"),
            (["x>a", "a>b", "b>c", "c>a", "c>y"], "a → b → c → a"),
        ],
    )
    def test_a_cycle_is_named(self, edges: list[str], cycle: str):
        with pytest.raises(errors.UsageError, match="The graph has a cycle") as refused:
            layout(graph(*edges))

        named = refused.value.message.split("`")[1].split(" → ")
        assert named[0] == named[-1]
        assert set(named) == set(cycle.split(" → "))
        assert set(itertools.pairwise(named)) <= {tuple(edge.split(">")) for edge in edges}

    def test_a_long_cycle_is_cut_short(self):
        with pytest.raises(errors.UsageError) as refused:
            layout(graph(*[f"{number}>{(number + 1) % 100}" for number in range(100)]))

        assert refused.value.message.count("→") == 10
        assert "…" in refused.value.message

    def test_two_nodes_of_the_same_id_are_refused(self):
        with pytest.raises(errors.UsageError, match="same id: `a`"):
            layout(Graph([Node("b"), Node("a"), Node("a", "other")]))

    def test_an_edge_to_nowhere_is_refused(self):
        with pytest.raises(errors.UsageError, match="not there: `b`"):
            layout(Graph([Node("a")], [Edge("a", "b")]))


@given(st.lists(st.integers(-50, 50).map(float), max_size=12))
def test_the_nearest_rising_numbers_rise_and_no_small_change_comes_nearer(wanted: list[float]):
    rising = graph_layout._rising(wanted)

    def distance(numbers: list[float]) -> float:
        return sum((number - want) ** 2 for number, want in zip(numbers, wanted, strict=True))

    assert all(left <= right + 1e-9 for left, right in itertools.pairwise(rising))
    for start, end in itertools.combinations(range(len(rising) + 1), 2):
        for step in (-0.01, 0.01):
            other = [number + step if start <= at < end else number for at, number in enumerate(rising)]
            if all(left <= right for left, right in itertools.pairwise(other)):
                assert distance(rising) <= distance(other) + 1e-9


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(7, 12)), max_size=30))
def test_crossings_are_counted_as_by_comparing_all_pairs(pairs: list[tuple[int, int]]):
    edges = list(dict.fromkeys(pairs))
    net = graph_layout._Net.of([0] * 7 + [1] * 6, edges)
    rows = [list(range(7)), list(range(7, 13))]
    place = [*range(7), *range(6)]
    crossing = [(a, b) for a, b in itertools.combinations(edges, 2) if (a[0] - b[0]) * (a[1] - b[1]) < 0]

    assert graph_layout._crossings(net, rows, place) == len(crossing)


HOSTILE = [
    "<script>alert(1)</script>", '"><b>&amp;', "a\\", 'say "hi"\n\\N', "\x00\x07\ud800\uffff", "]]>",
    "'--><!--", "日本語", "",
]  # fmt: skip


def hostile_graph() -> Graph:
    nodes = [Node(f"{number}{text}", text, kind) for number, text in enumerate(HOSTILE) for kind in ["task"]]
    edges = [Edge(nodes[0].id, node.id, text) for node, text in zip(nodes[1:], HOSTILE[1:], strict=True)]
    return Graph(nodes, edges, title="<&>\"'\x00")


class TestSvg:
    def test_it_is_well_formed_whatever_the_labels_say(self):
        some = hostile_graph()
        text = to_svg(some, layout(some))
        root = ET.fromstring(text)

        assert text.encode()
        assert [one.text for one in root.iter(f"{SVG}title")][1] == HOSTILE[0]
        assert "<script" not in text
        assert {one.tag.removeprefix(SVG) for one in root.iter()} == {
            "svg", "title", "style", "defs", "marker", "path", "rect", "g", "text",
        }  # fmt: skip

    def test_it_needs_nothing_from_elsewhere(self):
        some = graph("a>b")
        addresses = re.findall(r"https?://[^\"]+|url\([^)]+\)|@import|href", to_svg(some, layout(some)))

        assert set(addresses) == {"http://www.w3.org/2000/svg", "url(#penstock-head)"}

    def test_it_follows_the_readers_choice_of_light_or_dark(self):
        some = graph("a>b")

        assert "@media (prefers-color-scheme: dark)" in to_svg(some, layout(some))

    def test_every_node_and_edge_is_drawn(self):
        some = Graph(
            [Node("a", "Extract", "flow"), Node("b", kind="input"), Node("c", kind="unheard of")],
            [Edge("a", "c", "rows"), Edge("b", "c")],
            title="etl",
        )
        root = ET.fromstring(to_svg(some, layout(some)))
        groups = {one.get("class"): one.findtext(f"{SVG}text") for one in root.iter(f"{SVG}g")}

        assert root.findtext(f"{SVG}title") == root.get("aria-label") == "etl"
        assert groups == {"node flow": "Extract", "node input": "b", "node": "c"}
        assert len([one for one in root.iter(f"{SVG}path") if one.get("class") == "edge"]) == 2
        assert [one.text for one in root.findall(f"{SVG}text")] == ["rows", "rows"]

    def test_a_long_label_is_cut_and_whole_in_the_tooltip(self):
        long = "a very long label " * 10
        some = Graph([Node("a", long)])
        made = layout(some)
        group = next(ET.fromstring(to_svg(some, made)).iter(f"{SVG}g"))
        shown = group.findtext(f"{SVG}text") or ""

        assert group.findtext(f"{SVG}title") == long
        assert shown.endswith("…")
        assert text_width(shown) < made.boxes["a"].width < 300

    def test_a_long_edge_goes_straight_through_the_layers_between(self):
        some = graph("a>b", "b>c", "a>c")
        paths = [one.get("d") or "" for one in ET.fromstring(to_svg(some, layout(some))).iter(f"{SVG}path")]

        assert [re.sub(r"[^MCL]", "", path) for path in paths[1:]] == ["MC", "MC", "MCLC"]


class TestDot:
    def test_it_names_nodes_labels_kinds_and_edges(self):
        some = Graph(
            [Node("a", "Extract", "flow"), Node("b", kind="input"), Node("c")],
            [Edge("a", "c", "rows"), Edge("b", "c")],
            "etl",
        )

        assert to_dot(some) == (
            'digraph "etl" {\n'
            '  node [shape=box, style=rounded, fontname="sans-serif"];\n'
            '  "a" [label="Extract", peripheries=2];\n'
            '  "b" [label="b", shape=ellipse];\n'
            '  "c" [label="c"];\n'
            '  "a" -> "c" [label="rows"];\n'
            '  "b" -> "c";\n'
            "}\n"
        )

    def test_no_label_can_end_its_quotes(self):
        text = to_dot(hostile_graph())
        unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', "Q", text, flags=re.DOTALL)

        assert text.encode()
        assert set(unquoted.splitlines()) == {
            "digraph Q {",
            "  node [shape=box, style=rounded, fontname=Q];",
            "  Q [label=Q];",
            "  Q -> Q [label=Q];",
            "  Q -> Q;",
            "}",
        }

    def test_without_a_title_it_has_no_name(self):
        assert to_dot(Graph([])).startswith("digraph {")
