import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildprof.model.events import StatusUpdate
from buildprof.sources import progress_log
from buildprof.sources.import_file import ImportFormatError
from buildprof.sources.progress_log import ProgressLog, rfc3339_ns
from tests.sources.recordings import PROGRESS

VERTEX = b'{"vertexes":[{"digest":"sha256:aa","name":"[1/2] FROM base","started":"2026-11-24T02:57:02.090971777Z"}]}\n'


def read(content: bytes) -> tuple[ProgressLog, list[StatusUpdate]]:
    log = ProgressLog(io.BytesIO(content))
    return log, list(log)


def recorded(name: str) -> tuple[ProgressLog, list[StatusUpdate]]:
    return read((PROGRESS / name).read_bytes())


def vertex_names(updates: list[StatusUpdate]) -> set[str]:
    return {vertex.name for update in updates for vertex in update.vertices}


@pytest.mark.parametrize("docker", ["docker-20", "docker-26", "docker-28"])
def test_every_client_and_engine_shows_the_same_steps(docker: str):
    _, updates = recorded(f"{docker}-cold.json")
    steps = {name for name in vertex_names(updates) if name.startswith(("[deps ", "[build ", "[web "))}
    assert steps >= {
        "[deps 2/4] WORKDIR /app",
        "[deps 3/4] COPY package.json .",
        "[deps 4/4] RUN echo deps; sleep 0.3; echo done > node_modules",
        "[build 1/2] COPY . .",
        "[web 2/2] COPY --from=build /app/dist /srv/dist",
    }


@pytest.mark.parametrize("path", sorted(PROGRESS.glob("*.json")), ids=lambda path: path.stem)
def test_no_recording_is_cut_off_and_every_vertex_has_a_digest_and_a_name(path):
    log, updates = recorded(path.name)
    assert not log.truncated
    for update in updates:
        for vertex in update.vertices:
            assert vertex.digest.startswith("sha256:")
            assert vertex.name


def test_names_of_a_bake_carry_the_target_that_the_client_put_first():
    _, updates = recorded("docker-28-bake.json")
    assert {"[web build 1/2] COPY . .", "[api internal] load .dockerignore"} <= vertex_names(updates)


def test_the_client_s_last_words_are_kept_when_a_build_failed_or_was_canceled():
    failed, _ = recorded("docker-28-failed.json")
    canceled, _ = recorded("docker-26-canceled.json")
    completed, _ = recorded("docker-28-cold.json")
    assert failed.client_error.endswith("did not complete successfully: exit code: 3")
    assert failed.skipped_lines == 9
    assert canceled.client_error == "failed to solve: Canceled: context canceled"
    assert completed.client_error == ""


def test_a_log_line_is_decoded_and_nanoseconds_are_kept():
    _, updates = recorded("docker-28-failed.json")
    (log,) = [log for update in updates for log in update.logs]
    assert (log.data, log.stream) == (b"about to fail\n", 1)
    assert log.timestamp_ns is not None
    assert log.timestamp_ns % 1000 != 0


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2026-11-24T02:57:02.090971777Z", 1795489022_090971777),
        ("2026-11-24T02:57:02.1Z", 1795489022_100000000),
        ("2026-11-24T02:57:02Z", 1795489022_000000000),
        ("2026-11-24T04:27:02.5+01:30", 1795489022_500000000),
        ("2026-11-23T21:57:02-05:00", 1795489022_000000000),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_as_go_prints_them_and_zero_times_are_none(text: str, nanoseconds: int | None):
    assert rfc3339_ns(text) == nanoseconds


def test_other_text_between_the_updates_is_skipped_and_counted():
    log, updates = read(b"WARN[0000] something\n\n" + VERTEX + b"pulling ...\n" + VERTEX)
    assert (len(updates), log.skipped_lines, log.truncated) == (2, 2, False)


@pytest.mark.parametrize("name", ["docker-26-warm.json", "docker-28-warm.json"])
def test_a_stream_that_is_cut_off_gives_all_that_is_whole_and_says_so(name: str):
    content = (PROGRESS / name).read_bytes().rstrip()[:-1]
    log, updates = read(content)
    _, all_updates = recorded(name)
    assert log.truncated
    assert updates == all_updates[:-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello\nworld\n", "no build progress in 2 lines"),
        (VERTEX + b"{nonsense}\n", "line 2: not JSON"),
        (VERTEX + b"{\n nonsense\n}\n", "line 2: not JSON"),
        (b'{"level":"info"}\n', "line 1: JSON with none of the keys"),
        (b'{"vertexes":{}}\n', 'line 1: "vertexes" of the wrong type'),
        (b'{"vertexes":["x"]}\n', 'line 1: "vertexes" that are not objects'),
        (b'{"vertexes":[{"digest":1}]}\n', 'line 1: "digest" of the wrong type'),
        (b'{"vertexes":[{"inputs":[1]}]}\n', 'line 1: "inputs" that are not text'),
        (b'{"vertexes":[{"started":"yesterday"}]}\n', "line 1: a time that is not RFC 3339"),
        (b'{"vertexes":[{"started":"2026-13-24T02:57:02Z"}]}\n', "line 1: "),
        (b'{"statuses":[{"current":true}]}\n', 'line 1: "current" of the wrong type'),
        (b'{"statuses":[{"current":9223372036854775808}]}\n', 'line 1: "current" out of range'),
        (b'{"logs":[{"data":"%%%"}]}\n', 'line 1: "data" that is not base64'),
        (b'{"logs":' + b"[" * 100_000 + b"\n", "line 1: not JSON"),
    ],
)
def test_what_is_no_progress_is_refused_in_one_line_that_says_where(content: bytes, said: str):
    with pytest.raises(ImportFormatError) as refusal:
        read(content)
    assert said in str(refusal.value)
    assert "expected" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("head", [b'{"logs":[', b"{\n", b"text "])
def test_an_object_without_end_is_refused_before_it_fills_the_memory(head: bytes, monkeypatch):
    monkeypatch.setattr(progress_log, "MAX_OBJECT_BYTES", 1 << 20)
    with pytest.raises(ImportFormatError, match="more than 1 MiB in one object"):
        read(VERTEX + head + b" " * (1 << 20) + b"\n}\n")


def test_null_is_read_as_absent_and_unknown_keys_are_passed_over():
    _, (update,) = read(b'{"vertexes":[{"digest":"d","inputs":null,"new":{}}],"logs":null,"warnings":[{}]}\n')
    assert update.vertices[0].inputs == ()


def test_texts_are_bounded():
    _, (update,) = read(json.dumps({"vertexes": [{"digest": "d" * 999, "name": "n" * 99_999}]}).encode() + b"\n")
    assert len(update.vertices[0].digest) == 200
    assert len(update.vertices[0].name) == 16_384


@given(st.lists(st.one_of(st.just(VERTEX), st.binary(max_size=60), st.text(max_size=60).map(str.encode)), max_size=8))
def test_any_bytes_give_updates_or_one_line(chunks: list[bytes]):
    assert "\n" not in refusal_of(b"".join(chunks))


def refusal_of(content: bytes) -> str:
    try:
        read(content)
    except ImportFormatError as refusal:
        return str(refusal)
    return ""
