"""How quick the index of watched trees is, beside git on the same tree in the same run.

100,000 small files in 10,000 directories: the first index with all hashes and watches against a first `git add -A`, a
start with an index that is there and a snapshot after 10 changes against `git status`, the memory of both, and what an
index knows after a minute of 1,000 changes a second against a fresh look at the tree.

    python -m benchmarks.watching [--quick] [--directory DIR]
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Result, at_least, at_most, figure, make_parser, report
from buildprof.model.recipe import ContextUse
from buildprof.sources.tree.watch import Trees

FILES_IN_A_DIRECTORY = 10
MAX_USER_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
SNAPSHOTS = 11
EVERYTHING = (ContextUse(),)


def make_tree(root: Path, directories: int) -> None:
    """A hundred directories at the top, each with its share; files of some 100 to 4,000 bytes."""
    chance = random.Random(directories)
    for number in range(directories):
        directory = root / f"part-{number % 100:02}" / f"module-{number // 100:03}"
        directory.mkdir(parents=True)
        for file in range(FILES_IN_A_DIRECTORY):
            (directory / f"source_{file}.py").write_bytes(chance.randbytes(chance.randrange(50, 2000)).hex().encode())
    time.sleep(0.1)


def change_ten(root: Path, directories: int, turn: int) -> None:
    for number in range(10):
        place = (number * 997 + turn) % directories
        (root / f"part-{place % 100:02}" / f"module-{place // 100:03}" / "source_3.py").write_text(f"changed {turn}")


@contextlib.contextmanager
def enough_watches(count: int) -> Iterator[None]:
    """Raise the machine's limit for the time of the run, where root may."""
    before = MAX_USER_WATCHES.read_text()
    raised = int(before) < count
    if raised:
        MAX_USER_WATCHES.write_text(str(count))
    try:
        yield
    finally:
        if raised:
            MAX_USER_WATCHES.write_text(before)


def git(root: Path, *arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run(["git", "-c", "gc.auto=0", *arguments], cwd=root, check=True, capture_output=True)
    return time.perf_counter() - began


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def index_once(root: Path, database: Path, directories: int, answers: multiprocessing.SimpleQueue) -> None:
    """In a process of its own: open the tree, and take snapshots after changes; times, growth, and state."""
    gc.collect()
    before = resident_bytes()
    trees = Trees(database)
    opened = timed(lambda: trees.open(str(root)))
    trees.snapshot(str(root), None, time.time_ns())
    taken = []
    for turn in range(SNAPSHOTS):
        change_ten(root, directories, turn)
        taken.append(timed(lambda: trees.snapshot(str(root), None, time.time_ns())))
    state = trees.facts()[0]
    growth = (resident_bytes() - before, peak_bytes() - before)
    trees.close()
    answers.put((opened, statistics.median(taken), *growth, state))


def storm(root: Path, directories: int, seconds: float) -> tuple[int, int, bool]:
    """1,000 changes a second of all kinds; how many there were, how often the queue overflowed, whether all is known."""
    with tempfile.TemporaryDirectory(prefix="buildprof-watching-") as own:
        trees = Trees(Path(own, "trees.db"))
        trees.open(str(root))
        chance = random.Random(1)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            change_one(root, directories, chance, count)
            count += 1
            if count % 5000 == 0:
                threading.Thread(target=trees.snapshot, args=(str(root), None, time.time_ns())).start()
            time.sleep(max(0.0, began + count / 1000 - time.monotonic()))
        followed = trees.snapshot(str(root), None, time.time_ns())
        overflows = trees.facts()[0].overflows + trees.facts()[0].rescans
        known = followed and trees.digest(followed, EVERYTHING)
        trees.close()
        fresh_trees = Trees(Path(own, "fresh.db"))
        fresh = fresh_trees.snapshot(str(root), None, time.time_ns())
        seen = fresh and fresh_trees.digest(fresh, EVERYTHING)
        fresh_trees.close()
        return count, overflows, known is not None and known == seen


def change_one(root: Path, directories: int, chance: random.Random, number: int) -> None:
    place = chance.randrange(directories)
    directory = root / f"part-{place % 100:02}" / f"module-{place // 100:03}"
    with contextlib.suppress(FileNotFoundError, FileExistsError, NotADirectoryError, OSError):
        match chance.randrange(7):
            case 0:
                (directory / f"new_{number % 50}.py").write_text(str(number))
            case 1:
                (directory / f"new_{number % 50}.py").unlink()
            case 2:
                (directory / "source_1.py").rename(directory / "source_2.py")
            case 3:
                deep = directory / "sub" / f"deep_{number % 3}"
                deep.mkdir(parents=True)
                (deep / "file").write_text(str(number))
            case 4:
                (directory / "sub").rename(directory / f"moved_{number % 3}")
            case 5:
                (directory / "source_4.py").chmod(0o600 + number % 64)
            case _:
                (directory / "source_5.py").write_text(str(number))


def measure(root: Path, own: Path, directories: int, storm_seconds: float) -> list[Result]:
    make_tree(root, directories)
    answers: multiprocessing.SimpleQueue = multiprocessing.get_context("spawn").SimpleQueue()

    def indexed() -> tuple:
        process = multiprocessing.get_context("spawn").Process(
            target=index_once, args=(root, own / "trees.db", directories, answers)
        )
        process.start()
        process.join()
        return answers.get()

    git(root, "init", "--quiet")
    add = git(root, "add", "-A")
    # git's own directory is none of the tree's files
    (root / ".git").rename(own / "git")
    first, _, _, first_peak, state = indexed()
    (own / "git").rename(root / ".git")
    git(root, "status", "--short")  # lets git store the times
    status = statistics.median(git(root, "status", "--short") for _ in range(5))
    (root / ".git").rename(own / "git")
    starts = [indexed() for _ in range(3)]  # as git status, of which the median of several is taken
    warm = statistics.median(one[0] for one in starts)
    _, snapshot, grown, warm_peak, _ = starts[-1]
    count, overflows, is_equal = storm(root, directories, storm_seconds)
    return [
        figure("git add -A", add, "s"),
        figure("git status", status, "s"),
        at_most("first index", first, add / 4, "s", f"{state.files:,} files, {state.state}"),
        at_most("start with an index", warm, status * 5, "s"),
        at_most("snapshot after 10 changes", snapshot, status / 10, "s"),
        at_most("memory, settled", grown / 2**20, 60, "MiB"),
        at_most("memory, first index at most", first_peak / 2**20, 60, "MiB"),
        at_most("memory, later start at most", warm_peak / 2**20, 60, "MiB"),
        at_least("index equals a fresh look", float(is_equal), 1, "", f"{count:,} changes, {overflows} rescans"),
    ]


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--directory", type=Path, help="where the tree is made; a temporary one by default")
    options = parser.parse_args()
    directories = 1_000 if options.quick else 10_000
    with (
        tempfile.TemporaryDirectory(prefix="buildprof-watching-", dir=options.directory) as made,
        enough_watches(directories * 4),
    ):
        root, own = Path(made, "tree"), Path(made, "own")
        root.mkdir()
        own.mkdir()
        report("watching", measure(root, own, directories, 6 if options.quick else 60), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
