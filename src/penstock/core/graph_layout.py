"""A picture of a graph of tasks: who stands where, and the picture as SVG or as DOT.

Layered, after Sugiyama: every node stands below all that it depends on. (1) A node's layer is the
longest way to it. (2) Long edges are led through the layers between by stand-ins, the shorter
edges first, until there are as many stand-ins as nodes and edges. (3) Sweeps down and up put each
node at the barycenter of its neighbours in the layer before, and the order with the fewest
crossings is kept. (4) Nodes are moved as near to the middle of their neighbours as order, widths
and the width of the picture allow. Every step takes a time of about the size of the graph, and
the same graph always gives the same picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from penstock import errors

_ROW_HEIGHT = 34.0
_ROW_GAP = 42.0
_COLUMN_GAP = 18.0
_STAND_IN_WIDTH = 6.0
_MARGIN = 16.0
_SLACK = 1.2
_PADDING = 14.0
_MAX_TEXT_WIDTH = 220.0
_SWEEPS = 8
_PATIENCE = 2


class Node(msgspec.Struct, frozen=True):
    """Something to draw. ``kind`` is task, flow or input; ``label`` is the id unless given."""

    id: str
    label: str = ""
    kind: str = "task"

    @property
    def text(self) -> str:
        return self.label or self.id


class Edge(msgspec.Struct, frozen=True):
    """``target`` depends on ``source``, and is drawn below it."""

    source: str
    target: str
    label: str = ""


class Graph(msgspec.Struct, frozen=True):
    nodes: Sequence[Node]
    edges: Sequence[Edge] = ()
    title: str = ""


class Box(msgspec.Struct, frozen=True):
    """Where a node is: its upper left corner and size, its layer from above, its place from the left."""

    x: float
    y: float
    width: float
    height: float
    layer: int
    place: int


class Layout(msgspec.Struct, frozen=True):
    """Boxes by node id; for each edge the points that it passes, downwards; and the size of it all."""

    boxes: dict[str, Box]
    routes: list[list[tuple[float, float]]]
    width: float
    height: float


def layout(graph: Graph) -> Layout:
    """A place for every node and a way for every edge.

    Each edge leads down, and no two boxes overlap. Raises `UsageError` when the graph has a cycle,
    two nodes of the same id, or an edge to a node that it does not have.
    """
    edges = _as_numbers(graph)
    layers = _layered(graph, edges)
    net = _Net.of(layers, edges)
    rows = _ordered(net)
    widths = [*(text_width(_shortened(node.text)) + 2 * _PADDING for node in graph.nodes)]
    widths += [_STAND_IN_WIDTH] * (len(net.layers) - len(widths))
    return _placed(graph, edges, net, rows, widths)


# Layers -------------------------------------------------------------------------------------------


def _as_numbers(graph: Graph) -> list[tuple[int, int]]:
    numbers = {node.id: number for number, node in enumerate(graph.nodes)}
    if len(numbers) < len(graph.nodes):
        seen: set[str] = set()
        twice = next(node.id for node in graph.nodes if node.id in seen or seen.add(node.id))
        raise errors.UsageError(f"Two nodes of the graph have the same id: `{twice}`")
    for edge in graph.edges:
        for end in (edge.source, edge.target):
            if end not in numbers:
                raise errors.UsageError(f"An edge of the graph ends at a node that is not there: `{end}`")
    return [(numbers[edge.source], numbers[edge.target]) for edge in graph.edges]


def _layered(graph: Graph, edges: Iterable[tuple[int, int]]) -> list[int]:
    count = len(graph.nodes)
    below: list[list[int]] = [[] for _ in range(count)]
    waits_for = [0] * count
    for source, target in edges:
        below[source].append(target)
        waits_for[target] += 1
    layers = [0] * count
    sources = [node for node in range(count) if not waits_for[node]]
    ready = list(sources)
    for node in ready:
        for target in below[node]:
            layers[target] = max(layers[target], layers[node] + 1)
            waits_for[target] -= 1
            if not waits_for[target]:
                ready.append(target)
    if len(ready) < count:
        raise errors.UsageError(
            f"The graph has a cycle: `{_cycle(graph, below, waits_for)}`", hint="a task cannot wait for itself"
        )
    for node in sources:
        if below[node]:
            # As low as it can be, so that an input that is needed late has no long edge.
            layers[node] = min(layers[target] for target in below[node]) - 1
    return layers


def _cycle(graph: Graph, below: list[list[int]], waits_for: list[int]) -> str:
    """One of the cycles among the nodes that still wait. Each of them has one above that waits, too."""
    above = {target: node for node, targets in enumerate(below) if waits_for[node] for target in targets}
    node = next(node for node, count in enumerate(waits_for) if count)
    way: dict[int, None] = {}
    while node not in way:
        way[node] = None
        node = above[node]
    names = [graph.nodes[one].id for one in list(way)[list(way).index(node) :]][::-1]
    shown = names if len(names) <= 10 else [*names[:9], "…"]
    return " → ".join([*shown, names[0]])


# Order --------------------------------------------------------------------------------------------


class _Net(msgspec.Struct, frozen=True):
    """The graph with stand-ins: every edge here leads from one layer to the next."""

    layers: list[int]
    above: list[list[int]]
    below: list[list[int]]
    chains: dict[int, list[int]]
    """For an edge led through other layers, by its number: its stand-ins."""

    @staticmethod
    def of(layers: list[int], edges: list[tuple[int, int]]) -> _Net:
        net = _Net(list(layers), [[] for _ in layers], [[] for _ in layers], {})
        spans = sorted((layers[target] - layers[source], number) for number, (source, target) in enumerate(edges))
        left = len(layers) + len(edges)
        joined: dict[tuple[int, int], int] = {}
        for span, number in spans:
            ends = edges[number]
            if ends in joined:
                # The same two nodes once more: the same way.
                net.chains[number] = net.chains.get(joined[ends], [])
                continue
            left -= span - 1
            if left < 0:
                break
            joined[ends] = number
            net._lead(number, *ends)
        return net

    def _lead(self, number: int, source: int, target: int) -> None:
        node = source
        chain: list[int] = []
        for layer in range(self.layers[source] + 1, self.layers[target]):
            self.layers.append(layer)
            self.above.append([])
            self.below.append([])
            chain.append(len(self.layers) - 1)
        for following in (*chain, target):
            self.below[node].append(following)
            self.above[following].append(node)
            node = following
        if chain:
            self.chains[number] = chain


def _ordered(net: _Net) -> list[list[int]]:
    """The rows, each from left to right, with as few crossings as a few sweeps find."""
    rows = _first_rows(net)
    place = [0] * len(net.layers)
    for row in rows:
        _number(row, place)
    best, fewest, since = [list(row) for row in rows], _crossings(net, rows, place), 0
    for sweep in range(_SWEEPS):
        if not fewest or since == _PATIENCE:
            break
        down = sweep % 2 == 0
        for row in rows[1:] if down else rows[-2::-1]:
            _sort_row(row, net.above if down else net.below, place)
        crossings = _crossings(net, rows, place)
        since += 1
        if crossings < fewest:
            best, fewest, since = [list(row) for row in rows], crossings, 0
    return best


def _first_rows(net: _Net) -> list[list[int]]:
    """Rows in the order of a walk in depth: what belongs together stands together."""
    rows: list[list[int]] = [[] for _ in range(max(net.layers, default=-1) + 1)]
    seen = [False] * len(net.layers)
    for start in sorted(range(len(net.layers)), key=net.layers.__getitem__):
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if not seen[node]:
                seen[node] = True
                rows[net.layers[node]].append(node)
                waiting.extend(reversed(net.above[node]))
                waiting.extend(reversed(net.below[node]))
    return rows


def _number(row: list[int], place: list[int]) -> None:
    for position, node in enumerate(row):
        place[node] = position


def _sort_row(row: list[int], neighbours: list[list[int]], place: list[int]) -> None:
    """Put each node of the row at the barycenter of its neighbours; those without any stay."""
    slots: list[int] = []
    centers: list[tuple[float, int, int]] = []
    for position, node in enumerate(row):
        near = neighbours[node]
        if near:
            slots.append(position)
            centers.append((sum([place[one] for one in near]) / len(near), position, node))
    centers.sort()
    for position, (_, _, node) in zip(slots, centers, strict=True):
        row[position] = node
        place[node] = position


def _crossings(net: _Net, rows: list[list[int]], place: list[int]) -> int:
    """How many pairs of edges cross, layer by layer, by counting inversions in a Fenwick tree."""
    crossings = 0
    for row, following in pairwise(rows):
        size = len(following)
        tree = [0] * (size + 1)
        entered = 0
        for node in row:
            targets = sorted([place[target] for target in net.below[node]])
            for target in targets:
                crossings += entered
                at = target + 1
                while at:
                    crossings -= tree[at]
                    at &= at - 1
            for target in targets:
                entered += 1
                at = target + 1
                while at <= size:
                    tree[at] += 1
                    at += at & -at
    return crossings


# Places -------------------------------------------------------------------------------------------


def _placed(
    graph: Graph, edges: list[tuple[int, int]], net: _Net, rows: list[list[int]], widths: list[float]
) -> Layout:
    centers = _centers(net, rows, widths)
    leftmost = min((center - width / 2 for center, width in zip(centers, widths, strict=True)), default=0.0)
    centers = [center - leftmost + _MARGIN for center in centers]
    boxes: dict[str, Box] = {}
    for layer, row in enumerate(rows):
        for place, node in enumerate(node for node in row if node < len(graph.nodes)):
            width = widths[node]
            box = Box(centers[node] - width / 2, _top(layer), width, _ROW_HEIGHT, layer, place)
            boxes[graph.nodes[node].id] = box
    routes: list[list[tuple[float, float]]] = []
    for number, (source, target) in enumerate(edges):
        route = [(centers[source], _top(net.layers[source]) + _ROW_HEIGHT)]
        for stand_in in net.chains.get(number, ()):
            top = _top(net.layers[stand_in])
            route += [(centers[stand_in], top), (centers[stand_in], top + _ROW_HEIGHT)]
        routes.append([*route, (centers[target], _top(net.layers[target]))])
    rightmost = max((center + width / 2 for center, width in zip(centers, widths, strict=True)), default=_MARGIN)
    height = _top(len(rows)) - _ROW_GAP + _MARGIN if rows else 2 * _MARGIN
    return Layout({node.id: boxes[node.id] for node in graph.nodes}, routes, rightmost + _MARGIN, height)


def _top(layer: int) -> float:
    return _MARGIN + layer * (_ROW_HEIGHT + _ROW_GAP)


def _centers(net: _Net, rows: list[list[int]], widths: list[float]) -> list[float]:
    """From the left for a start; then each row follows the row above, the row below, and so on."""
    centers = [0.0] * len(widths)
    offsets, ends = list[list[float]](), list[float]()
    for row in rows:
        offset, end = list[float](), 0.0
        for node in row:
            offset.append(end + widths[node] / 2)
            end += widths[node] + _COLUMN_GAP
            centers[node] = offset[-1]
        offsets.append(offset)
        ends.append(end)
    room = max(ends, default=0.0) * _SLACK
    for downwards in (True, False, True, False):
        neighbours = net.above if downwards else net.below
        for layer in range(len(rows)) if downwards else reversed(range(len(rows))):
            row, offset = rows[layer], offsets[layer]
            wanted: list[float] = []
            for node, least in zip(row, offset, strict=True):
                near = neighbours[node]
                center = sum([centers[one] for one in near]) / len(near) if near else centers[node]
                wanted.append(center - least)
            for node, least, shift in zip(row, offset, _rising(wanted), strict=True):
                # Within the width of the picture: else rows of a large graph drift ever further apart.
                centers[node] = least + min(max(shift, 0.0), room - ends[layer])
    return centers


def _rising(wanted: list[float]) -> list[float]:
    """The numbers that never fall and are nearest to the wanted ones, by least squares.

    (Isotonic regression: neighbours that would fall are pooled into their mean.) With the least
    distances taken off before and put on again after, this keeps boxes apart.
    """
    pools: list[tuple[float, int]] = []
    for value in wanted:
        total, count = value, 1
        while pools and pools[-1][0] * count > total * pools[-1][1]:
            earlier, size = pools.pop()
            total, count = total + earlier, count + size
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]


# Text ---------------------------------------------------------------------------------------------

_NARROW, _WIDE = frozenset("fijlrtI.,:;'|!()[] "), frozenset("mwMW@%")


def text_width(text: str) -> float:
    """About how many pixels the text is wide in a sans-serif font of 13 pixels."""
    if text.isascii():
        return sum([4.3 if char in _NARROW else 11.5 if char in _WIDE else 7.6 for char in text])
    from unicodedata import east_asian_width  # noqa: PLC0415  few labels need it

    return sum([13.5 if east_asian_width(char) in "WF" else 7.6 for char in text])


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    if text_width(text) <= _MAX_TEXT_WIDTH:
        return text
    count = min(len(text), int(_MAX_TEXT_WIDTH / 4))
    while text_width(text[:count]) > _MAX_TEXT_WIDTH - 13:
        count -= 1
    return f"{text[:count]}…"


# DOT ----------------------------------------------------------------------------------------------

_DOT_KINDS = {"flow": ", peripheries=2", "input": ", shape=ellipse"}


def to_dot(graph: Graph) -> str:
    """The graph in the language of Graphviz."""
    title = f" {_dot_id(graph.title)}" if graph.title else ""
    lines = [f"digraph{title} {{", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    lines += [
        f"  {_dot_id(node.id)} [label={_dot_text(node.text)}{_DOT_KINDS.get(node.kind, '')}];" for node in graph.nodes
    ]
    for edge in graph.edges:
        label = f" [label={_dot_text(edge.label)}]" if edge.label else ""
        lines.append(f"  {_dot_id(edge.source)} -> {_dot_id(edge.target)}{label};")
    return "\n".join([*lines, "}", ""])


def _dot_id(text: str) -> str:
    # Doubled, because a backslash before the closing quote would escape it.
    return '"' + _printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _dot_text(text: str) -> str:
    return _dot_id(text).replace("\n", "\\n")


# SVG ----------------------------------------------------------------------------------------------

_STYLE = """
.penstock-graph { font: 13px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
.penstock-graph .paper { fill: #ffffff }
.penstock-graph .edge { fill: none; stroke: #7b8794; stroke-width: 1.4 }
.penstock-graph .head { fill: #7b8794 }
.penstock-graph .node rect { fill: #f0f4f8; stroke: #52606d; stroke-width: 1.2 }
.penstock-graph .flow rect { fill: #e3eefb; stroke: #1f5fa8; stroke-width: 2.4 }
.penstock-graph .input rect { fill: #ffffff; stroke-dasharray: 4 3 }
.penstock-graph text { fill: #1f2933; text-anchor: middle; dominant-baseline: central }
.penstock-graph .label { fill: #52606d; font-size: 11px }
.penstock-graph .halo { stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round }
@media (prefers-color-scheme: dark) {
.penstock-graph .paper { fill: #14181d }
.penstock-graph .edge { stroke: #8795a1 }
.penstock-graph .head { fill: #8795a1 }
.penstock-graph .node rect { fill: #242b33; stroke: #9aa5b1 }
.penstock-graph .flow rect { fill: #1b2f47; stroke: #6cb0f5 }
.penstock-graph .input rect { fill: #14181d }
.penstock-graph text { fill: #e4e7eb }
.penstock-graph .label { fill: #b8c2cc }
.penstock-graph .halo { stroke: #14181d }
}
"""
_HEAD = (
    '<marker id="penstock-head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker>'
)


def to_svg(graph: Graph, layout: Layout) -> str:
    """The picture as one SVG element that needs nothing else: no script, no font, no style sheet.

    It follows the reader's choice of light or dark. A label that is cut short is whole in the
    node's tooltip.
    """
    width, height = _number_text(layout.width), _number_text(layout.height)
    title = _escaped(graph.title or "Graph")
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="penstock-graph" role="img"',
        f' aria-label="{title}" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{title}</title><style>{_STYLE}</style><defs>{_HEAD}</defs>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    parts += [f'<path class="edge" marker-end="url(#penstock-head)" d="{_path(route)}"/>' for route in layout.routes]
    for edge, route in zip(graph.edges, layout.routes, strict=True):
        if edge.label:
            middle = len(route) // 2
            x, y = ((route[middle - 1][axis] + route[middle][axis]) / 2 for axis in (0, 1))
            # The halo is an element of its own: not every renderer paints a stroke below its text.
            parts += [_text(kind, x, y, _shortened(edge.label)) for kind in ("label halo", "label")]
    for node in graph.nodes:
        parts.append(_node(node, layout.boxes[node.id]))
    return "\n".join([*parts, "</svg>", ""])


def _node(node: Node, box: Box) -> str:
    kind = f" {node.kind}" if node.kind in ("flow", "input") else ""
    radius = box.height / 2 if node.kind == "input" else 6
    x, y, width, height = map(_number_text, (box.x, box.y, box.width, box.height))
    return (
        f'<g class="node{kind}"><title>{_escaped(node.text)}</title>'
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{_number_text(radius)}"/>'
        f"{_text('', box.x + box.width / 2, box.y + box.height / 2, _shortened(node.text))}</g>"
    )


def _text(kind: str, x: float, y: float, text: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{_number_text(x)}" y="{_number_text(y)}">{_escaped(text)}</text>'


def _path(route: list[tuple[float, float]]) -> str:
    """Curves from layer to layer, and straight on through a layer in between."""
    (x, y), *rest = route
    path = [f"M{_number_text(x)} {_number_text(y)}"]
    for number, (next_x, next_y) in enumerate(rest):
        end = f"{_number_text(next_x)} {_number_text(next_y)}"
        middle = _number_text((y + next_y) / 2)
        straight = number % 2 == 1
        path.append(f"L{end}" if straight else f"C{_number_text(x)} {middle} {_number_text(next_x)} {middle} {end}")
        x, y = next_x, next_y
    return "".join(path)


def _number_text(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    text = _printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#39;")


def _printable(text: str) -> str:
    """The text with � for what neither XML nor UTF-8 can hold: control characters, lone surrogates."""
    if text.isprintable():
        return text
    return "".join([char if char in "\n\t" or _may_stand(ord(char)) else "�" for char in text])


def _may_stand(code: int) -> bool:
    return not (code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE)
