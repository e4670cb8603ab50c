"""Run the benchmarks one after another, and end with a table of what they found.

Each `benchmarks/NAME.py` is a program that prints its results as lines with the word `ratio`, and exits with 0 if all
limits are met, with 1 if one is missed; a file there without a `__main__` is a part of others. They run alone, since
two at once would measure each other.

    python tools/bench.py [NAME ...]

All of them together write their table, with date and machine, to `benchmarks/RESULTS.md`.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_RESULTS = _ROOT / "benchmarks/RESULTS.md"
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


def _document(lines: list[str], load_before: float) -> str:
    """The table as a page, with what it was measured on."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    release = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return (
        "# Results of `make bench`\n\n"
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {release}, {platform.machine()}, {os.cpu_count()} cores,"
        f" {memory_gib:.0f} GiB, Python {platform.python_version()}; load before {load_before:.1f}.\n"
        "Misses are included. How to read the figures: [README.md](README.md).\n\n"
        "```\n" + "\n".join(lines) + "\n```\n"
    )


def main(names: list[str]) -> int:
    """Give 0 if every benchmark met its limits."""
    files = sorted((_ROOT / "benchmarks").glob("[a-z]*.py"))
    programs = [path.stem for path in files if '__name__ == "__main__"' in path.read_text()]
    if unknown := [name for name in names if name not in programs]:
        print(f"no benchmark {unknown[0]}; there are: {' '.join(programs)}", file=sys.stderr)
        return 2
    table = []
    load_before = os.getloadavg()[0]
    for name in names or programs:
        print(f"{name}:", flush=True)
        started = time.monotonic()
        verdict, results = run(name)
        table.append((name, verdict, time.monotonic() - started, results))
    lines = []
    for name, verdict, seconds, results in table:
        lines.append(f"{name:<12} limits {verdict}, in {seconds:.0f} s")
        lines += [f"{'':<12} {result}" for result in results]
    print("", *lines, sep="\n")
    if not names:
        _RESULTS.write_text(_document(lines, load_before))
    return 0 if all(verdict == "met" for _, verdict, _, _ in table) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
