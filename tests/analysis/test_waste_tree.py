from buildprof.analysis.waste_tree import largest, waste_tree
from buildprof.model.image import Waste, WasteKind


def wasted(path: str, size_bytes: int, kind: WasteKind = WasteKind.REMOVED) -> Waste:
    return Waste(path, size_bytes, kind, 0, 1)


def shown(*waste: Waste, limit: int = 20) -> list[tuple[int, str, int, int]]:
    return [(depth, node.name, node.bytes, node.files) for depth, node in largest(waste_tree(waste), limit)]


def test_directories_stand_before_what_is_in_them_the_largest_first():
    assert shown(wasted("a/x", 10), wasted("b/c/one", 50), wasted("b/c/two", 40)) == [
        (0, "b/c", 90, 2),
        (1, "one", 50, 1),
        (1, "two", 40, 1),
        (0, "a/x", 10, 1),
    ]


def test_what_is_little_is_summed_up_in_its_directory():
    many = [wasted(f"cache/{n}", 1) for n in range(100)]
    assert shown(*many) == [(0, "cache", 100, 100)]


def test_there_are_no_more_lines_than_asked_for_and_no_duplicates_in_them():
    assert len(shown(*(wasted(f"{n}", 10) for n in range(9)), limit=3)) == 3
    assert shown(wasted("a", 10, WasteKind.DUPLICATE)) == []


def test_a_node_is_of_the_kind_of_most_of_its_bytes():
    root = waste_tree([wasted("d/a", 1), wasted("d/b", 5, WasteKind.METADATA_ONLY)])
    assert root.below["d"].kind is WasteKind.METADATA_ONLY
