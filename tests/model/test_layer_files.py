import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.model.layer_files import EntryKind, LayerEntry, LayerFiles, LayerFilesBuilder

PATHS = st.binary(max_size=20).filter(lambda path: b"\0" not in path)
CONTENTS = st.binary(min_size=16, max_size=16)
EMPTY_KINDS = [EntryKind.DIRECTORY, EntryKind.OTHER, EntryKind.WHITEOUT, EntryKind.OPAQUE_DIRECTORY]
ENTRIES = st.one_of(
    st.tuples(PATHS, st.integers(0, 2**63), CONTENTS).map(lambda one: LayerEntry(one[0], EntryKind.FILE, *one[1:])),
    st.tuples(PATHS, st.sampled_from([EntryKind.SYMLINK, EntryKind.HARD_LINK]), PATHS).map(
        lambda one: LayerEntry(*one[:2], target=one[2])
    ),
    st.tuples(PATHS, st.sampled_from(EMPTY_KINDS)).map(lambda one: LayerEntry(*one)),
)


def gathered(entries: list[LayerEntry]) -> LayerFiles:
    builder = LayerFilesBuilder()
    for entry in entries:
        builder.add(entry)
    return builder.build()


@given(st.lists(ENTRIES, max_size=20))
def test_entries_come_back_as_they_were_added_packed_or_not(entries: list[LayerEntry]):
    files = gathered(entries)
    assert list(files) == entries
    assert len(files) == len(entries)
    assert files.size_bytes == sum(entry.size_bytes for entry in entries)
    assert LayerFiles.unpack(files.pack()) == files


@given(st.binary(max_size=100))
def test_what_is_no_packed_layer_is_refused(data: bytes):
    with pytest.raises(ValueError, match="not a packed layer"):
        LayerFiles.unpack(data)


@pytest.mark.parametrize(
    "entry", [LayerEntry(b"a\0b", EntryKind.FILE), LayerEntry(b"a", EntryKind.SYMLINK, target=b"\0")]
)
def test_a_path_with_a_nul_is_refused(entry: LayerEntry):
    with pytest.raises(ValueError, match="NUL"):
        LayerFilesBuilder().add(entry)
