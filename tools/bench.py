"""Run the benchmarks one after another, and end with a table of what they found.

Each `benchmarks/NAME.py` is a program that prints its results as lines with the word `ratio`, and exits with 0 if all
limits are met, with 1 if one is missed; a file there without a `__main__` is a part of others. They run alone, since
two at once would measure each other.

    python tools/bench.py [NAME ...]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_VERDICTS = {0: "met", 1: "MISSED"}


def run(name: str) -> tuple[str, list[str]]:
    """Run one benchmark, its output passed on line by line; give the verdict and the lines of results."""
    results = []
    command = [sys.executable, "-u", "-m", f"benchmarks.{name}"]
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            print(f"  {line}", end="", flush=True)
            if "ratio" in line:
                results.append(line.strip())
    if process.returncode == 0 and any("  MISS" in line for line in results):
        return _VERDICTS[1], results
    return _VERDICTS.get(process.returncode, f"BROKEN (exit code {process.returncode})"), results


def main(names: list[str]) -> int:
    """Give 0 if every benchmark met its limits."""
    files = sorted((_ROOT / "benchmarks").glob("[a-z]*.py"))
    programs = [path.stem for path in files if '__name__ == "__main__"' in path.read_text()]
    if unknown := [name for name in names if name not in programs]:
        print(f"no benchmark {unknown[0]}; there are: {' '.join(programs)}", file=sys.stderr)
        return 2
    table = []
    for name in names or programs:
        print(f"{name}:", flush=True)
        started = time.monotonic()
        verdict, results = run(name)
        table.append((name, verdict, time.monotonic() - started, results))
    print()
    for name, verdict, seconds, results in table:
        print(f"{name:<12} limits {verdict}, in {seconds:.0f} s")
        for result in results:
            print(f"{'':<12} {result}")
    return 0 if all(verdict == "met" for _, verdict, _, _ in table) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
