import subprocess
import sys

from tests.recordings import replay


def test_expectations_are_written_only_when_that_is_asked_for(monkeypatch, tmp_path, capsys):
    refused = subprocess.run(
        [sys.executable, "-m", "tests.recordings.replay"], check=False, capture_output=True, text=True
    )
    assert (refused.returncode, refused.stderr) == (1, "usage: python -m tests.recordings.replay --write\n")

    monkeypatch.setattr(replay, "EXPECTED", tmp_path / "expected")
    replay._write()
    assert (
        len(list((tmp_path / "expected").iterdir())) == len(replay.NAMES) == len(capsys.readouterr().out.splitlines())
    )
