from hypothesis import given
from hypothesis import strategies as st

from buildprof.sources.tree.entry import Entry, Listing, State, make_listing, replace_entries, unpack

NUMBERS = st.integers(0, 2**32 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: not {0, 47} & set(name))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    mode = draw(st.sampled_from([0o100644, 0o40755, 0o120777, 0o10600]))
    target = draw(NAMES) if mode == 0o120777 else b""
    numbers = draw(st.tuples(NUMBERS, NUMBERS, NUMBERS, TIMES, TIMES, NUMBERS))
    return Entry(
        draw(NAMES), mode, *numbers, draw(st.sampled_from(State)), draw(st.binary(min_size=16, max_size=16)), target
    )


@given(st.lists(entries(), max_size=8, unique_by=lambda entry: entry.name), TIMES)
def test_a_packed_directory_gives_its_entries_back(rows: list[Entry], mtime_ns: int):
    listing = unpack(make_listing(rows, mtime_ns).pack())
    assert list(listing) == sorted(rows, key=lambda entry: entry.name)
    assert listing.mtime_ns == mtime_ns
    assert all(listing.find(row.name) == row for row in rows)
    assert listing.find(b"/") is None
    assert replace_entries(listing, {row.name: None for row in rows}, 0) == Listing()
