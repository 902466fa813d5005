"""``GET /v1/models``: the names that can be asked for, as the routes know them.

Exact names that routes accept, and the targets' models that a route's glob matches. Where the
routes know no name at all, since the only one takes every model, its provider is asked.

The answer is the shape of who asks: OpenAI, Anthropic and Google list models at the same path,
and their clients are told apart by their headers (Google's also by ``/v1beta``).

https://platform.openai.com/docs/api-reference/models ·
https://docs.anthropic.com/en/api/models-list · https://ai.google.dev/api/models
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from proxy.router import Route, Router

MODELS_PATH = "/v1/models"
GOOGLE_PATH = "/v1beta/models"

Shape = Literal["openai", "anthropic", "gemini"]

_EPOCH = "1970-01-01T00:00:00Z"
_METHODS = ("generateContent", "streamGenerateContent", "countTokens")


class Model(msgspec.Struct, frozen=True):
    """A model, and who owns it: a provider's name."""

    id: str
    owned_by: str = "llm-proxy"


def asked(path: str) -> str | None:
    """Which model a path asks for, percent-encoded; "" is all of them, None is another path."""
    for start in (MODELS_PATH, GOOGLE_PATH):
        if path == start:
            return ""
        if path.startswith(f"{start}/") and len(path) > len(start) + 1:
            return path[len(start) + 1 :]
    return None


def shape_for(path: str, headers: Mapping[str, str]) -> Shape:
    """The shape in which a client reads models, by the path that it asks and what it sends."""
    if path.startswith("/v1beta/") or headers.get("x-goog-api-key") is not None:
        return "gemini"
    if headers.get("anthropic-version") is not None:
        return "anthropic"
    return "openai"


def known_models(router: Router) -> list[Model]:
    """Each name once, in the order of the routes; who owns it is the first target's provider."""
    found: dict[str, Model] = {}
    for route in router.routes:
        owner = route.targets[0].provider.name
        for name in _names(route):
            found.setdefault(name, Model(id=name, owned_by=owner))
    return list(found.values())


def encode_list(models: list[Model], shape: Shape) -> bytes:
    """The answer to who asks for all of them: they are few, so it is always one page."""
    entries = [_entry(model, shape) for model in models]
    body: dict[str, Any]
    if shape == "gemini":
        body = {"models": entries}
    elif shape == "anthropic":
        ends = {"first_id": models[0].id, "last_id": models[-1].id} if models else {}
        body = {"data": entries, "has_more": False, "first_id": None, "last_id": None} | ends
    else:
        body = {"object": "list", "data": entries}
    return msgspec.json.encode(body)


def encode_one(models: list[Model], name: str, shape: Shape) -> bytes | None:
    """The answer to who asks for one; None if there is no such model."""
    for model in models:
        if model.id == name:
            return msgspec.json.encode(_entry(model, shape))
    return None


def _entry(model: Model, shape: Shape) -> dict[str, Any]:
    if shape == "gemini":
        name = f"models/{model.id}"
        return {
            "name": name,
            "displayName": model.id,
            "supportedGenerationMethods": list(_METHODS),
        }
    if shape == "anthropic":
        entry = {"type": "model", "id": model.id, "display_name": model.id}
        return entry | {"created_at": _EPOCH}
    return {"id": model.id, "object": "model", "created": 0, "owned_by": model.owned_by}


def _names(route: Route) -> list[str]:
    targets = [target.model for target in route.targets if target.model is not None]
    if route.models is None:
        return targets
    exact = [pattern.text for pattern in route.models if pattern.exact]
    return exact + [name for name in targets if any(p.matches(name) for p in route.models)]
