"""Names of images, as people write them, and their digests by a provenance's materials."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

_DIGEST = re.compile(r"@(sha\d{3}:[0-9a-f]{32,128})$")
_PACKAGE = re.compile(r"pkg:(?:docker|oci)/(?P<name>[^@?]+)(?:@(?P<tag>[^?]*))?(?:\?(?P<qualifiers>.*))?")


def split_digest(reference: str) -> tuple[str, str]:
    """An image's reference as its familiar name and its digest, "" if it has none."""
    found = _DIGEST.search(reference)
    return familiar(reference[: found.start()] if found else reference), found[1] if found else ""


def familiar(name: str) -> str:
    """The name as docker shows it: without the default registry, with a tag (distribution/reference, FamiliarString)."""
    name = name.removeprefix("index.docker.io/").removeprefix("docker.io/").removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


@dataclass(frozen=True, slots=True)
class Materials:
    """Digests of what a build was made from: of images by name and platform, of all else by address."""

    images: dict[str, dict[str, str]]
    remotes: dict[str, str]

    def image(self, name: str, platform: str) -> str:
        """The digest of an image by its familiar name; "" if it is unknown, or not plain which platform's is meant.

        Platforms are equal also where one of them leaves out the variant, as the material of linux/arm64/v8 does.
        """
        found = self.images.get(name, {})
        same = {
            one
            for key, one in found.items()
            if f"{key}/".startswith(f"{platform}/") or f"{platform}/".startswith(f"{key}/")
        }
        exact = {found[platform]} if platform in found else same or set(found.values())
        return exact.pop() if len(exact) == 1 else ""


def read_materials(materials: Iterable[tuple[str, str]]) -> Materials:
    """Sort materials, (uri, digest), by what they are; images are package URLs (util/purl, RefToPURL)."""
    found = Materials({}, {})
    for uri, digest in materials:
        package = _PACKAGE.fullmatch(uri)
        if package is None:
            found.remotes.setdefault(uri, digest)
            continue
        name = unquote(package["name"])
        name = familiar(f"{name}:{unquote(package['tag'])}" if package["tag"] else name)
        try:
            qualifiers = dict(parse_qsl(package["qualifiers"] or "", max_num_fields=20))
        except ValueError:
            qualifiers = {}
        found.images.setdefault(name, {}).setdefault(qualifiers.get("platform", ""), digest)
    return found
