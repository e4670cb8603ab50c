"""Write all dashboards: `python -m grafana`."""

from __future__ import annotations

from grafana import cache_and_storage, overview, project
from grafana.frame import DIRECTORY, as_json

DASHBOARDS = {
    "overview.json": overview.dashboard,
    "project.json": project.dashboard,
    "cache-and-storage.json": cache_and_storage.dashboard,
}
"""Every dashboard by the name of its file."""


def write() -> None:
    """Write the files anew."""
    for name, make in DASHBOARDS.items():
        (DIRECTORY / name).write_text(as_json(make()), encoding="utf-8")


if __name__ == "__main__":
    write()
