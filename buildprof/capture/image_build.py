"""The build that made an image, and the image of the build before it, as the store has them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from buildprof.model.build import Build
from buildprof.store.connect import open_store
from buildprof.store.errors import StoreError
from buildprof.store.images import build_of_image
from buildprof.store.queries import find_build, previous_build


def build_of(store_url: str, image_ids: Collection[str], ref: str | None = None) -> tuple[Build | None, int | None]:
    """The build, by its ref or as the newest that made an image with one of these ids, and the bytes of the image of the build before.

    None for what is not known; also where the store cannot be read, since an image can be looked at without.
    """
    with suppress(StoreError, OSError):
        store = open_store(store_url, create=False)
        try:
            head = build_of_image(store, image_ids) if ref is None else find_build(store, ref)
            build = find_build(store, head.ref, builder=head.builder) if head is not None else None
            before = previous_build(store, build) if build is not None else None
            return build, before.image.size_bytes if before is not None and before.image is not None else None
        finally:
            store.dispose()
    return None, None
