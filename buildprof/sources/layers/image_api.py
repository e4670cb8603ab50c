"""What is asked of an engine about an image: at a local socket by plain requests, else by the docker SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Protocol

from buildprof.model.text import clean
from buildprof.sources.docker_socket import LocalEngine, NoAnswerError, NotThereError
from buildprof.sources.endpoint import Endpoint, EndpointError, explain_os_error

STREAM_TIMEOUT_SECONDS = 600
"""How long an engine may think before it sends a part of an image: it packs what is not packed."""


class NoImageError(Exception):
    """The engine has no such image, or has it no longer."""


class ImageApi(Protocol):
    """Answers of the Engine API, as they come."""

    def inspect_image(self, image: str) -> Mapping[str, Any]:
        """Of `GET /images/{name}/json`."""

    def info(self) -> Mapping[str, Any]:
        """Of `GET /info`."""

    def history(self, image: str) -> object:
        """Of `GET /images/{name}/history`."""

    def get_image(self, image: str) -> Iterator[bytes]:
        """Of `GET /images/{name}/get`, in parts."""


@contextmanager
def image_api(endpoint: Endpoint, image: str) -> Iterator[ImageApi]:
    """The engine's answers about an image.

    Raises:
        NoImageError: what was asked of the image in the block found none.
        EndpointError: the engine cannot be reached, or is none.
    """
    try:
        if endpoint.scheme == "unix":
            yield LocalEngine(endpoint.socket_path, STREAM_TIMEOUT_SECONDS)
        else:
            with _by_sdk(endpoint) as api:
                yield api
    except NotThereError:
        raise NoImageError(f"the engine has no image {clean(image, 200)!r}") from None
    except NoAnswerError as error:
        raise EndpointError(f"{endpoint.url} {error}") from error
    except OSError as error:
        raise EndpointError(explain_os_error(endpoint, error)) from error


@contextmanager
def _by_sdk(endpoint: Endpoint) -> Iterator[ImageApi]:
    import docker.errors  # noqa: PLC0415 - see docker_socket
    import requests  # noqa: PLC0415

    from buildprof.sources.docker_sdk import as_endpoint_error, connect_sdk  # noqa: PLC0415

    try:
        client = connect_sdk(endpoint, STREAM_TIMEOUT_SECONDS)
    except Exception as error:
        raise as_endpoint_error(endpoint, error) from error
    with closing(client):
        try:
            yield client
        except docker.errors.NotFound:
            raise NotThereError from None
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise as_endpoint_error(endpoint, error) from error
