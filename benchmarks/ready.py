"""How long after the end of a build it is explained, in a context of 100,000 files in 10,000 directories.

Ten files are changed before each build; the build copies one of the hundred directories at the top, since to send them
all would measure the client. The end is what the engine says; `explain` is asked over HTTP without pause.

    python -m benchmarks.ready [--builds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import (
    Agent,
    MeasurementError,
    Result,
    at_least,
    at_most,
    engine_with_base,
    figure,
    make_parser,
    report,
    running_agent,
)
from benchmarks.watching import change_ten, enough_watches, make_tree
from tests.engines.engine import Engine

LIMIT_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
_DOCKERFILE = "FROM base:latest\nCOPY part-00 /part\nRUN ls /part\n"


def measure(engine: Engine, agent: Agent, root: Path, directories: int, builds: int) -> Iterator[tuple[float, str]]:
    """Seconds from each build's end to its explanation, and the cause; the first build is not counted."""
    (root / "Dockerfile").write_text(_DOCKERFILE)
    for number in range(builds + 1):
        change_ten(root, directories, number)
        (root / "part-00" / "module-000" / "source_0.py").write_text(f"{number}\n")
        told = root.with_name("built.json")
        command = [
            "docker",
            "buildx",
            "build",
            "--network=host",
            "--quiet",
            f"--metadata-file={told}",
            "--tag=ready",
            ".",
        ]
        result = subprocess.run(command, cwd=root, env=engine.environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise MeasurementError(f"the build failed: {result.stderr[-1000:]}")
        ref = json.loads(told.read_text())["buildx.build.ref"].rpartition("/")[2]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (answer := agent.get(f"/api/v1/builds/{ref}/explain"))[0] != 200:
            if time.monotonic() > deadline:
                raise MeasurementError(f"no explanation within {_PATIENCE_SECONDS:.0f} s")
            time.sleep(0.005)
        explained = time.time()
        if number:
            completed = agent.build(ref) or {}
            misses = json.loads(answer[1])["misses"]
            yield explained - _seconds(completed["completed_at"]), misses[0]["cause"] if misses else ""
        time.sleep(0.5)


def _seconds(rfc3339: str) -> float:
    whole, _, fraction = rfc3339.removesuffix("Z").partition(".")
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(f"0.{fraction or 0}")


def main() -> int:
    """Print hit or miss; 3 if nothing could be measured."""
    parser = make_parser(__doc__)
    parser.add_argument("--builds", type=int, help="how many (default: 10, with --quick 3)")
    arguments = parser.parse_args()
    directories = 1_000 if arguments.quick else 10_000
    try:
        with (
            tempfile.TemporaryDirectory(prefix="buildprof-ready-") as place,
            enough_watches(4 * directories),
            engine_with_base("forky") as engine,
            running_agent(engine) as agent,
        ):
            root = Path(place, "tree")
            make_tree(root, directories)
            found = list(measure(engine, agent, root, directories, arguments.builds or (3 if arguments.quick else 10)))
    except MeasurementError as error:
        print(f"ready: {error}", file=sys.stderr)
        return 3
    seconds = [one for one, _ in found]
    right = sum(cause == "source_changed" for _, cause in found) / len(found)
    results: list[Result] = [
        at_most("explained after the engine's end, median", statistics.median(seconds), LIMIT_SECONDS, "s"),
        figure("explained after the engine's end, worst", max(seconds), "s"),
        at_least("the changed file is the cause", right, 1.0, "", f"{len(found)} builds"),
    ]
    report("ready", results, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
