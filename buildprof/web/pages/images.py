"""The images that were analysed last, at `/images`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Engine

from buildprof.analysis.project_words import target_label
from buildprof.store.image_lists import ImageFacts, analysed_images
from buildprof.web.pages.render import render

PAGE_IMAGES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One image. `label` is its project and target, "" where its build is not known."""

    facts: ImageFacts
    name: str
    label: str


def page(store: Engine, version: str) -> bytes:
    """Make the page. Blocks; raises StoreError."""
    images = analysed_images(store, PAGE_IMAGES)
    values = {
        "title": "Images",
        "here": "Images",
        "version": version,
        "live": "all",
        "now_ns": time.time_ns(),
        "rows": [
            Row(one, one.name or one.id, target_label(one.project, one.target) if one.project else "") for one in images
        ],
        "is_cut": len(images) == PAGE_IMAGES,
    }
    return render("images.html", values)
