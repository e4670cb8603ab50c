"""An analysed image as a person reads it: what it weighs, its layers, where the waste lies, what to do. Pure."""

from __future__ import annotations

from buildprof.analysis.image_advice import image_advice
from buildprof.analysis.waste_tree import largest, waste_tree
from buildprof.cli.lines import Line, Span, cut, flow, table
from buildprof.model.image import ImageAnalysis, ImageReport, LayerSummary, WasteKind
from buildprof.model.text import clean, human_size, plural, short_size

TREE_LINES = 14
SHORT_ID = 12
_KIND_WORDS = {
    WasteKind.REMOVED: "removed",
    WasteKind.OVERWRITTEN: "overwritten",
    WasteKind.METADATA_ONLY: "metadata only",
    WasteKind.DUPLICATE: "duplicate",
}


def image_lines(report: ImageReport, width: int) -> list[Line]:
    """Head, layers, the tree of the largest waste, and advice."""
    return [
        *_head(report, width),
        [],
        *_layers(report, width),
        *_waste(report.analysis, width),
        *_advice(report, width),
    ]


def _head(report: ImageReport, width: int) -> list[Line]:
    analysis = report.analysis
    count = len(analysis.layers)
    size = human_size(analysis.stored_bytes)
    id_ = clean(report.id, 100).removeprefix("sha256:")[:SHORT_ID]
    rest = f"  {size} in {count} {plural(count, 'layer')}  id {id_}"
    name = cut(clean(report.image, 300), max(width - len(rest), 12))
    lines: list[Line] = [[(name, "bold"), (rest, "")]]
    if report.size_bytes is not None and human_size(report.size_bytes) != size:  # as containerd's image store does
        lines.append([("engine    ", "dim"), (f"counts {human_size(report.size_bytes)}", "")])
    visible = f"{human_size(analysis.visible_bytes)} of {human_size(analysis.stored_bytes)} stored"
    lines.append([("visible   ", "dim"), (f"{visible} · efficiency {analysis.efficiency:.3f}", "")])
    lines.append([("wasted    ", "dim"), *((cut(text, width - 10), style) for text, style in _wasted(analysis))])
    if doubles := analysis.waste_bytes.get(WasteKind.DUPLICATE):
        files = analysis.waste_count[WasteKind.DUPLICATE]
        lines.append(
            [
                ("doubles   ", "dim"),
                (f"{human_size(doubles)} in {files:,} {plural(files, 'file')} whose bytes are there twice", ""),
            ]
        )
    return lines


def _wasted(analysis: ImageAnalysis) -> list[Span]:
    if not analysis.wasted_bytes:
        return [("nothing", "green")]
    count = sum(number for kind, number in analysis.waste_count.items() if kind is not WasteKind.DUPLICATE)
    text = f"{human_size(analysis.wasted_bytes)} in {count:,} {plural(count, 'file')}"
    if any(layer.is_base for layer in analysis.layers):
        text += f" · {human_size(analysis.own_wasted_bytes)} by the layers above the base image"
    return [(text, "yellow" if analysis.own_wasted_bytes else "")]


def _layers(report: ImageReport, width: int) -> list[Line]:
    analysis = report.analysis
    base = [layer for layer in analysis.layers if layer.is_base]
    rows: list[list[Span]] = []
    if base:
        rows.append(_row("", f"base image, {len(base)} {plural(len(base), 'layer')}", "", base))
    for layer in analysis.layers:
        if not layer.is_base:
            step = report.steps[layer.index] if report.steps else None
            line = f":{step.lines[0]}" if step is not None and step.lines else ""
            rows.append(_row(str(layer.index + 1), clean(layer.command, 200) or "(unknown)", line, [layer]))
    titles = ("", "layer", "line", "size", "wasted", "added", "changed", "removed")
    return table(titles, rows, right=frozenset({0, 3, 4, 5, 6, 7}), flexible=1, width=width)


def _row(number: str, name: str, line: str, layers: list[LayerSummary]) -> list[Span]:
    size, wasted = sum(one.size_bytes for one in layers), sum(one.wasted_bytes for one in layers)
    counts = [sum(getattr(one, f"files_{what}") for one in layers) for what in ("added", "changed", "removed")]
    return [
        (number, "dim"),
        (name, ""),
        (line, "dim"),
        (short_size(size), "bold"),
        (short_size(wasted) if wasted else "", "yellow"),
        *((f"{count:,}" if count else "", "dim") for count in counts),
    ]


def _waste(analysis: ImageAnalysis, width: int) -> list[Line]:
    root = waste_tree(analysis.waste)
    lines: list[Line] = []
    for depth, node in largest(root, TREE_LINES):
        kind = _KIND_WORDS[node.kind] if node.kind else ""
        count = f"{node.files:,} {plural(node.files, 'file')}" if node.below or node.files > 1 else ""
        tail = f"  {kind:<13}  {count:>12}"
        name = "  " * depth + clean(node.name, 300) + ("/" if node.below else "")
        room = width - 9 - len(tail)
        lines.append([(f"{short_size(node.bytes):>6}   ", "yellow"), (f"{cut(name, room):<{room}}", ""), (tail, "dim")])
    return [[], [("waste", "bold"), ("  where it lies", "dim")], *lines] if lines else []


def _advice(report: ImageReport, width: int) -> list[Line]:
    sentences = image_advice(report.analysis)
    if not sentences:
        return []
    lines: list[Line] = [[]]
    for number, sentence in enumerate(sentences):
        head = "do        " if number == 0 else " " * 10
        for at, text in enumerate(flow(sentence, width - 10)):
            lines.append([(head if at == 0 else " " * 10, "dim"), (text, "")])
    return lines
