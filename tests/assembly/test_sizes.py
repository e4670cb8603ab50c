import json

from hypothesis import given
from hypothesis import strategies as st

from buildprof.assembly.sizes import index_usage, layer_sizes, run_description, stored_bytes
from buildprof.model.cache import CacheRecord, CacheUsage
from buildprof.model.events import HistoryEntry

SECOND = 1_000_000_000


def record(description, size_bytes, created_ns=0):
    return CacheRecord(f"{description}{created_ns}", size_bytes, description, "regular", False, False, created_ns)


def usage(*records):
    return index_usage(CacheUsage("default", 0, records))


def history(*sizes):
    """Entries of an image's history, given the oldest first and told the newest first."""
    return [HistoryEntry("", 0, "", size) for size in reversed(sizes)]


def config(*empty):
    return json.dumps({"history": [{"empty_layer": True} if one else {} for one in empty]})


def test_the_images_configuration_tells_which_entries_are_layers():
    assert layer_sizes(history(100, 0, 0, 30), config(False, True, False, False)) == [100, 0, 30]


def test_without_a_configuration_that_fits_every_entry_of_some_size_is_a_layer():
    assert layer_sizes(history(100, 0, 30), "") == [100, 30]
    assert layer_sizes(history(100, 0, 30), config(False)) == [100, 30]


@given(
    st.text()
    | st.recursive(
        st.none() | st.text(max_size=3),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["history", "empty_layer"]), inner),
    ).map(json.dumps)
)
def test_any_configuration_is_read(text):
    layer_sizes(history(1, 2), text)


def test_a_deeply_nested_configuration_is_none():
    assert layer_sizes(history(1), "[" * 100_000) == [1]


def test_the_record_of_a_hit_is_the_only_one_of_its_name():
    records = usage(record("[2/3] COPY a /", 10), record("twice", 1), record("twice", 2))

    assert stored_bytes(records, ["[2/3] COPY a /"], None) == 10
    assert stored_bytes(records, ["twice"], None) is None
    assert stored_bytes(records, ["never"], None) is None
    assert stored_bytes(records, [], None) is None


def test_of_several_records_the_one_made_during_the_work_is_the_steps():
    records = usage(record("same", 1, 100 * SECOND), record("same", 2, 200 * SECOND))

    assert stored_bytes(records, ["same"], (199 * SECOND, 201 * SECOND)) == 2
    assert stored_bytes(records, ["same"], (90 * SECOND, 210 * SECOND)) is None
    assert stored_bytes(records, ["same"], (300 * SECOND, 301 * SECOND)) is None


def test_a_record_may_have_any_of_the_forms_of_a_command():
    assert stored_bytes(usage(record(run_description("make"), 7)), map(run_description, ("$X", "make")), None) == 7


def test_a_run_in_exec_form_or_in_another_shell_is_described_by_its_words():
    assert run_description("make") == "mount / from exec /bin/sh -c make"
    assert run_description("make", "/bin/bash -ec") == "mount / from exec /bin/bash -ec make"
    assert run_description('["make", "all it"]', "/bin/bash -ec") == "mount / from exec make all it"


def test_no_reading_of_the_cache_has_no_records():
    assert index_usage(None) == {}
