"""All pages of one agent, each as bytes. They block; what they raise stands with each page."""

from __future__ import annotations

from collections.abc import Mapping

from buildprof.web.app import AppState
from buildprof.web.checks import Checkup
from buildprof.web.pages import build, builds, compare, health, image, images, project, projects


class Pages:
    """What is shown is what the store and the agent know when a page is asked for."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._store, self._version = state.store, state.version

    def builds(self, query: Mapping[str, str]) -> bytes:
        """The list of builds, as the address wants it."""
        return builds.page(self._store, query, self._version)

    def build(self, ref: str, query: Mapping[str, str]) -> bytes:
        """One build."""
        return build.page(self._store, ref, query, self._version)

    def comparison(self, first: str, second: str) -> bytes:
        """Two builds side by side."""
        return compare.page(self._store, self._state.image_growth, first, second, self._version)

    def projects(self, query: Mapping[str, str]) -> bytes:
        """All projects."""
        return projects.page(self._store, query, self._version)

    def project(self, name: str, query: Mapping[str, str]) -> bytes:
        """One project over time."""
        return project.page(self._store, name, query, self._version)

    def images(self) -> bytes:
        """The analysed images."""
        return images.page(self._store, self._version)

    def image(self, name: str, *, with_growth: bool) -> bytes:
        """One image."""
        return image.page(self._store, self._state.image_growth, name, self._version, with_growth=with_growth)

    def missing_image(self, name: str) -> bytes:
        """What to do about an image that is not analysed."""
        return image.missing_page(name, self._version)

    def health(self, checkup: Checkup | None, *, can_check: bool) -> bytes:
        """The agent itself; `checkup` is what `doctor` found, if it can be asked."""
        facts = health.Health(self._state.unready(), self._state.standing(), checkup, can_check=can_check)
        return health.page(self._store, facts, self._version)
