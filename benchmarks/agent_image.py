"""How large the agent's image is and what of it nobody sees, by buildprof's own analysis of it.

Built by deploy/Dockerfile from a stand-in of its base image made of Debian's packages. Of the base only the interpreter,
its library and what it loads reach the image, and those hardly differ between Debian's build and Docker Hub's.

    python -m benchmarks.agent_image [--json FILE]
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import MeasurementError, Result, at_most, figure, make_parser, report
from benchmarks.image import run_buildprof
from tests.engines.engine import Engine, running_engine
from tests.engines.images import agent_wheels, import_python
from tests.engines.rootfs import EngineUnavailable

ROOT = Path(__file__).parents[1]
MAX_SIZE_MB = 120
MAX_WASTE = 0.01


def build(engine: Engine, directory: Path) -> None:
    """Build the agent's image with packages that are at hand, under the name `agent`."""
    pip = directory / "pip.conf"
    pip.write_text("[global]\nno-index = true\nroot-user-action = ignore\n")
    import_python(engine, re.findall(r"FROM (python:\S+)", (ROOT / "deploy/Dockerfile").read_text())[0])
    engine.docker(
        "build", "--network=host", "--file=deploy/Dockerfile", "--tag=agent", f"--secret=id=pip_config,src={pip}",
        f"--build-context=wheels={agent_wheels()}", ".", cwd=ROOT,
    )  # fmt: skip


def measure(engine: Engine, directory: Path) -> list[Result]:
    found = json.loads(run_buildprof(engine, "agent", directory / "data").output)
    files = sum(layer["files_added"] for layer in found["layers"])
    layers = f"{files:,} files in {len(found['layers'])} layer{'s'[: len(found['layers']) - 1]}"
    waste = found["wasted_bytes"] / found["stored_bytes"]
    double = sum(one["bytes"] for one in found["waste"] if one["kind"] == "duplicate")
    return [
        at_most("size", found["size_bytes"] / 1e6, MAX_SIZE_MB, "MB", layers),
        at_most("wasted", 100 * waste, 100 * MAX_WASTE, "%"),
        figure("there twice", double / 1e6, "MB", "files of the same content; no part of what is wasted"),
    ]


def main() -> int:
    options = make_parser(__doc__).parse_args()
    try:
        with (
            running_engine("forky", name="agent-image", in_memory=True) as engine,
            tempfile.TemporaryDirectory(prefix="buildprof-bench-") as made,
        ):
            build(engine, Path(made))
            results = measure(engine, Path(made))
    except (EngineUnavailable, MeasurementError) as error:
        print(f"agent_image: {error}", file=sys.stderr)
        return 3
    except subprocess.CalledProcessError as error:
        print(f"agent_image: the image cannot be built: {error.stderr[-1000:]}", file=sys.stderr)
        return 3
    report("agent_image", results, options.json)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops the engine, as Ctrl-C does
    sys.exit(main())
