"""``GET /v1/models``: the names that can be asked for, as the routes know them.

Exact names that routes accept, and the targets' models that a route's glob matches. Where the
routes know no name at all, since the only one takes every model, its provider is asked.
"""

import msgspec

from proxy.router import Route, Router

MODELS_PATH = "/v1/models"


class Model(msgspec.Struct, frozen=True):
    """A model, as OpenAI's clients read it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "llm-proxy"


class _List(msgspec.Struct, frozen=True):
    data: list[Model]
    object: str = "list"


def known_models(router: Router) -> list[Model]:
    """Each name once, in the order of the routes; who owns it is the first target's provider."""
    found: dict[str, Model] = {}
    for route in router.routes:
        owner = route.targets[0].provider.name
        for name in _names(route):
            found.setdefault(name, Model(id=name, owned_by=owner))
    return list(found.values())


def encode_list(models: list[Model]) -> bytes:
    """The answer to ``GET /v1/models``."""
    return msgspec.json.encode(_List(models))


def encode_one(models: list[Model], name: str) -> bytes | None:
    """The answer to ``GET /v1/models/{name}``; None if there is no such model."""
    for model in models:
        if model.id == name:
            return msgspec.json.encode(model)
    return None


def _names(route: Route) -> list[str]:
    targets = [target.model for target in route.targets if target.model is not None]
    if route.models is None:
        return targets
    exact = [pattern.text for pattern in route.models if pattern.exact]
    return exact + [name for name in targets if any(p.matches(name) for p in route.models)]
