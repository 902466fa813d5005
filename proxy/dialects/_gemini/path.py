"""The model and the method that a path names.

Google's paths end in ``{model}:{method}`` (https://google.aip.dev/136), and a model is a resource
whose name has slashes: ``models/m``, ``tunedModels/t``, ``publishers/google/models/m``,
``projects/p/locations/l/endpoints/e``.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote


class Named(NamedTuple):
    """What a path names."""

    model: str
    """As routes and SDKs call it: without ``models/``, and a publisher other than Google before
    a slash. Any other resource keeps its whole name."""
    method: str
    """Such as ``generateContent``."""


_VERSION = re.compile(r"/v\d+\w*/")
_PLACE = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/([^/]+)/models/(.+)", re.S)


def read_path(path: str) -> Named | None:
    """The model and the method; None if the path is no call of a model's method.

    Percent-encoding is undone, since a client may encode the slashes of a name, or the colon.
    """
    version = _VERSION.match(path)
    if version is None:
        return None
    resource, colon, method = unquote(path[version.end() :]).rpartition(":")
    if not colon or not method.isalpha() or not resource:
        return None
    return Named(model_name(resource), method)


def model_name(resource: str) -> str:
    """What a resource of a name such as ``models/m`` is called as a model."""
    resource = resource.removeprefix("models/") or resource
    place = _PLACE.fullmatch(resource)
    if place is None:
        return resource
    publisher, model = place.groups()
    return model if publisher == "google" else f"{publisher}/{model}"


def resource(model: str) -> str:
    """The name of the resource that a model is, as bodies have it."""
    return model if "/" in model else f"models/{model}"
