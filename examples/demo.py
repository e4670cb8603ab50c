"""`make demo`: build the example cold, again unchanged, and again after an edit, and show the profile of each build.

It takes this machine's Docker Engine if there is one, else it starts a throw-away one. What it makes (engine, agent,
image, directories) is gone when it ends, however it ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.engines.engine import Engine, running_engine
from tests.engines.images import import_python
from tests.engines.machine import MachineEngine, machine_engine
from tests.engines.rootfs import EngineUnavailable, python_base_tarball

_EXAMPLE = Path(__file__).parent / "memegenerator"
_BASE_IMAGE = "python:3.11-slim"
_READY_SECONDS = 30
_PROFILE_SECONDS = 30


class DemoFailed(Exception):  # noqa: N818  (the end of the demonstration, with what to say)
    """The demonstration cannot go on; the message is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demonstration takes place."""

    engine: Engine
    project: Path
    data_dir: Path
    image: str
    image_ids: list[str] = field(default_factory=list)

    def buildprof(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "buildprof", *arguments, "--data-dir", str(self.data_dir)]


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


@contextlib.contextmanager
def an_engine(workdir: Path) -> Iterator[Engine]:
    """Take this machine's engine, or a throw-away one that has the example's base image."""
    if found := machine_engine():
        say(f"this machine's Docker Engine {found.version} at {found.host}")
        yield found
        return
    say("no Docker Engine answers here; starting a throw-away one (its parts are downloaded once: a minute or two)")
    with ThreadPoolExecutor() as beside:
        base = beside.submit(python_base_tarball)
        wheels = beside.submit(download_wheels, workdir / "wheels")
        with running_engine("forky", name="demo") as engine:
            say(f"making {_BASE_IMAGE} from Debian's packages, since no registry is asked for it")
            base.result()
            import_python(engine, _BASE_IMAGE, wheels.result())
            yield engine


def download_wheels(directory: Path) -> Path:
    """Get what the example installs by this machine's own pip, whose index and certificates a container does not have."""
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    what = ["--only-binary=:all:", "--python-version=3.11", "--requirement", str(_EXAMPLE / "requirements.txt")]
    if subprocess.run([*pip, *what, "--dest", str(directory)], check=False, stdin=subprocess.DEVNULL).returncode != 0:
        raise DemoFailed("pip could not download the example's packages; is the package index within reach?")
    return directory


@contextlib.contextmanager
def an_agent(stage: Stage) -> Iterator[None]:
    """`buildprof agent` on the engine, until the block ends."""
    address = f"127.0.0.1:{free_port()}"
    say(f"starting `buildprof agent` (its page is http://{address}/ until the end)")
    command = stage.buildprof("agent", "--docker-host", stage.engine.host, "--listen", address)
    log_file = stage.data_dir.with_suffix(".log")
    with log_file.open("wb") as log:
        agent = subprocess.Popen(
            command,
            env=stage.engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not answers(address, "/-/ready"):
            if agent.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(f"the agent did not become ready:\n{log_file.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        agent.terminate()
        try:
            agent.wait(10)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str, path: str) -> bool:
    with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection(address, timeout=5)) as client:
        client.request("GET", path)
        return client.getresponse().status == http.HTTPStatus.OK
    return False


def build(stage: Stage) -> None:
    """`docker build` of the example, as anybody would type it; throw-away engines have the host's network only."""
    network = () if isinstance(stage.engine, MachineEngine) else ("--network=host",)
    id_file = stage.data_dir.with_suffix(".id")
    options = (*network, "--tag", stage.image, "--iidfile", str(id_file))
    started = time.monotonic()
    result = stage.engine.docker("build", *options, ".", cwd=stage.project, check=False)
    if result.returncode != 0:
        raise DemoFailed(f"the build failed:\n{(result.stdout + result.stderr)[-3000:]}")
    say(f"`docker build` took {time.monotonic() - started:.1f} s")
    stage.image_ids.append(id_file.read_text().strip())


def show_profile(stage: Stage, seen: set[str]) -> None:
    """Wait until the build that has just ended is in the store, and print its profile."""
    deadline = time.monotonic() + _PROFILE_SECONDS
    while (ref := new_build(stage, seen)) is None:
        if time.monotonic() > deadline:
            raise DemoFailed(f"the build is not in the store after {_PROFILE_SECONDS} s; `buildprof doctor` says more")
        time.sleep(0.2)
    seen.add(ref)
    print(f"\n$ buildprof show {ref}", flush=True)
    subprocess.run(stage.buildprof("show", ref), check=True, stdin=subprocess.DEVNULL)
    print(flush=True)


def new_build(stage: Stage, seen: set[str]) -> str | None:
    """Find the completed build of our image that has not been shown yet; others may use the engine as well."""
    result = subprocess.run(
        stage.buildprof("builds", "--json", "--limit", "20"), check=False, capture_output=True, text=True
    )
    if result.returncode not in {0, 1}:  # 1: nothing found yet
        raise DemoFailed(f"`buildprof builds` failed: {result.stderr.strip()}")
    for candidate in json.loads(result.stdout or "{}").get("builds", []):
        tags = (candidate["image"] or {}).get("tags", [])
        if (
            candidate["status"] == "completed"
            and candidate["ref"] not in seen
            and any(stage.image in tag for tag in tags)
        ):
            return str(candidate["ref"])
    return None


def remove_images(stage: Stage) -> None:
    """Remove the image and those that lost its tag to a later build."""
    for name in (stage.image, *stage.image_ids):
        stage.engine.docker("image", "rm", "--force", name, check=False)


def three_builds(stage: Stage) -> None:
    seen: set[str] = set()
    say("first build: nothing of the example is in the cache")
    # An engine that has built the example before would have it in its cache, were the context the same.
    (stage.project / "run.txt").write_text(f"{stage.image}\n")
    build(stage)
    show_profile(stage, seen)

    say("second build: nothing has changed")
    build(stage)
    show_profile(stage, seen)

    say("third build: one line of app.py is edited")
    source = stage.project / "app.py"
    source.write_text(source.read_text().replace("cache a build", "cache every build"))
    build(stage)
    show_profile(stage, seen)


def run() -> None:
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bp-demo-")))
        project = workdir / "memegenerator"
        shutil.copytree(_EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__"))
        engine = stack.enter_context(an_engine(workdir))
        stage = Stage(engine, project, workdir / "data", f"memegenerator:demo-{os.getpid()}")
        if isinstance(engine, MachineEngine):
            stack.callback(remove_images, stage)
        stack.enter_context(an_agent(stage))
        three_builds(stage)
        if isinstance(engine, MachineEngine):
            say("the image goes now; its layers stay in your engine's build cache until the engine prunes them")
        say("cleaning up")
    say("done")


def main() -> int:
    def interrupt(_signal: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it on purpose
        signal.signal(signal.SIGHUP, interrupt)
    try:
        run()
    except (DemoFailed, EngineUnavailable) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"demo: {error} {error.stderr or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; all it made is gone", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
