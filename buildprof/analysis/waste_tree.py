"""Where in an image's file system its waste lies: the directories that hold most of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from buildprof.model.image import Waste, WasteKind

SHARE = 0.03
"""What holds less of the whole is summed up in its directory."""

MAX_DEPTH = 6


@dataclass(slots=True)
class WasteNode:
    """A file or directory by its path below the node above; a chain of directories with one entry each is one node."""

    name: str
    bytes: int = 0
    files: int = 0
    kinds: dict[WasteKind, int] = field(default_factory=dict)
    below: dict[str, WasteNode] = field(default_factory=dict)

    @property
    def kind(self) -> WasteKind | None:
        """The kind of most of its bytes."""
        return max(self.kinds, key=lambda kind: self.kinds[kind]) if self.kinds else None


def waste_tree(waste: Iterable[Waste]) -> WasteNode:
    """The tree of what is wasted, without duplicates, which are not wasted; the root's name is "/"."""
    root = WasteNode("/")
    for one in (each for each in waste if each.kind is not WasteKind.DUPLICATE):
        node = root
        _add(node, one)
        for part in one.path.split("/")[:MAX_DEPTH]:
            node = node.below.setdefault(part, WasteNode(part))
            _add(node, one)
    return root


def largest(root: WasteNode, limit: int) -> Iterator[tuple[int, WasteNode]]:
    """(depth, node) of what holds much, each directory before what is in it, the largest first; at most `limit`."""
    waiting: list[tuple[int, WasteNode]] = [(0, _joined(one)) for one in _ordered(root, root.bytes)][::-1]
    while waiting and limit > 0:
        depth, node = waiting.pop()
        limit -= 1
        yield depth, node
        waiting += [(depth + 1, _joined(one)) for one in _ordered(node, root.bytes)][::-1]


def _ordered(node: WasteNode, whole: int) -> list[WasteNode]:
    shown = [one for one in node.below.values() if one.bytes >= SHARE * whole and one.bytes > 0]
    return sorted(shown, key=lambda one: (-one.bytes, one.name))


def _joined(node: WasteNode) -> WasteNode:
    name = node.name
    while len(node.below) == 1:
        (node,) = node.below.values()
        name += f"/{node.name}"
    return WasteNode(name, node.bytes, node.files, node.kinds, node.below)


def _add(node: WasteNode, waste: Waste) -> None:
    node.bytes += waste.bytes
    node.files += 1
    node.kinds[waste.kind] = node.kinds.get(waste.kind, 0) + waste.bytes
