"""Where the recordings of clients lie."""

from pathlib import Path

RECORDINGS = Path(__file__).parents[1] / "recordings"
PROGRESS = RECORDINGS / "progress"
ARCHIVES = RECORDINGS / "archives"
