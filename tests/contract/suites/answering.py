"""A plugin for the SDKs' own test suites: tells the server what each call expects to be answered.

The suites are written for a server that makes up an answer from an OpenAPI description. Here the
SDK itself says what it would like to read: the type of the answer is at hand where it sends, so
an answer of that type is made and goes along in a header, for the server to send back. The
outcome of each test is written to the file that $OUTCOMES names.

It stands alone: a suite has a package `tests` of its own.
"""

import base64
import importlib
import inspect
import json
import os
import typing
from datetime import date, datetime
from typing import Any, Literal, get_args, get_origin

import pydantic
import pytest

HEADER = "x-stainless-answer"
MAX_DEPTH = 6

_SDK = os.environ["SUITE"]
_client = importlib.import_module(f"{_SDK}._base_client")
_models = importlib.import_module(f"{_SDK}._models")
_response = importlib.import_module(f"{_SDK}._response")
_none = importlib.import_module(f"{_SDK}._types").NoneType

_outcomes: dict[str, str] = {}


def made(kind: Any, depth: int = 0) -> Any:
    """Something of this type, with as little in it as the type allows."""
    kind = getattr(kind, "__value__", kind)  # an alias
    origin = get_origin(kind)
    if origin is typing.Annotated or str(origin) == "typing_extensions.Annotated":
        return made(get_args(kind)[0], depth)
    if origin is Literal:
        return get_args(kind)[0]
    if origin is typing.Union or type(kind).__name__ == "UnionType":
        choices = [each for each in get_args(kind) if each is not type(None)]
        return made(choices[0], depth) if len(choices) == len(get_args(kind)) else None
    if origin in (list, typing.Iterable) or getattr(origin, "__name__", "") in (
        "Sequence",
        "Iterable",
    ):
        return [made(get_args(kind)[0], depth + 1)] if depth < MAX_DEPTH else []
    if origin is dict or kind in (dict, object, Any):
        return {}
    model = origin or kind
    if inspect.isclass(model) and issubclass(model, pydantic.BaseModel):
        return _fields(kind, depth)
    for plain, value in _PLAIN:
        if kind is plain:
            return value
    if isinstance(kind, typing.TypeVar):
        return {}
    raise TypeError(f"nothing is known of {kind!r}")


_PLAIN = [
    (str, "a"),
    (bool, False),
    (int, 1),
    (float, 0.5),
    (type(None), None),
    (_none, None),
    (datetime, "2026-01-02T03:04:05Z"),
    (date, "2026-01-02"),
]


def _fields(kind: Any, depth: int) -> dict[str, Any]:
    model = get_origin(kind) or kind
    parameters = getattr(model, "__pydantic_generic_metadata__", {}).get("parameters", ())
    named = dict(zip(parameters, get_args(kind), strict=False))
    found = {}
    for name, field in model.model_fields.items():
        outer = field.annotation
        if field.is_required() or _models.get_origin(outer) is list or "data" in name:
            found[field.alias or name] = made(_bound(outer, named), depth + 1)
    return found


def _bound(kind: Any, named: dict[Any, Any]) -> Any:
    """The type with its variables filled in."""
    if kind in named:
        return named[kind]
    if get_origin(kind) is list and named:
        return list[_bound(get_args(kind)[0], named)]  # type: ignore[misc]
    return kind


def _answer(cast_to: Any, stream: bool) -> tuple[int, str, bytes]:
    if stream:
        return 200, "text/event-stream", b'event: ping\ndata: {"type":"ping"}\n\n'
    if cast_to is _none:
        return 204, "", b""
    if cast_to is str:
        return 200, "text/plain", b"a text"
    if inspect.isclass(cast_to) and "Binary" in cast_to.__name__:
        return 200, "application/octet-stream", bytes(range(256))
    return 200, "application/json", json.dumps(made(cast_to)).encode()


def _told(options: Any, cast_to: Any, stream: bool) -> Any:
    status, kind, body = _answer(cast_to, stream)
    spelled = json.dumps([status, kind, base64.b64encode(body).decode()])
    headers = options.headers if isinstance(options.headers, dict) else {}
    return options.model_copy(update={"headers": {**headers, HEADER: spelled}})


def _telling(kind: Any) -> None:
    asked = kind.request
    if inspect.iscoroutinefunction(asked):

        async def request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
            told = _told(options, cast_to, bool(more.get("stream")))
            return await asked(self, cast_to, told, **more)

        kind.request = request
    else:

        def request_now(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
            return asked(self, cast_to, _told(options, cast_to, bool(more.get("stream"))), **more)

        kind.request = request_now


_telling(_client.SyncAPIClient)
_telling(_client.AsyncAPIClient)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    with open(os.environ["OUTCOMES"], "w", encoding="utf-8") as file:
        json.dump(_outcomes, file)
