"""What a path and a model select, in the file's order."""

import pytest

from proxy.dialect import Dialect
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.errors import NoRoute
from proxy.exchange import Exchange, ParsedRequest
from proxy.processor import Processor
from proxy.router import MAX_FOUND, Pattern, Route, Router, Target
from tests.unit.conftest import NO_TIMEOUTS, provider


def route(
    name: str = "it",
    paths: tuple[str, ...] | None = None,
    models: tuple[str, ...] | None = None,
    processors: tuple[Processor, ...] = (),
) -> Route:
    targets = (Target(provider(), None, NO_TIMEOUTS),)
    return Route(
        name, paths=paths, models=models, processors=processors, targets=targets, usage="auto"
    )


def parsed(model: str | None) -> ParsedRequest:
    return ParsedRequest(raw=b"{}", model=model, stream=False)


@pytest.mark.parametrize(
    ("pattern", "model", "matches"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "GPT-4o", False),
        ("gpt-4.o", "gpt-4xo", False),
        ("gpt-*", "gpt-4o", True),
        ("gpt-*", "gpt-", True),
        ("gpt-*", "xgpt-4o", False),
        ("gpt-?", "gpt-4", True),
        ("gpt-?", "gpt-4o", False),
        ("m[12]", "m2", True),
        ("m[12]", "m3", False),
        ("m[!12]", "m3", True),
        ("*/llama", "meta/llama", True),
        ("*", "", True),
    ],
)
def test_a_pattern_is_a_whole_name_or_a_glob(pattern: str, model: str, matches: bool) -> None:
    assert bool(Pattern(pattern).matches(model)) is matches
    assert Pattern(pattern).exact is not any(char in pattern for char in "*?[")


@pytest.mark.parametrize(
    ("paths", "path", "endpoint", "takes"),
    [
        (None, "/v1/chat/completions", True, True),
        (None, "/v1/files", False, False),
        (("/v1/files",), "/v1/files", False, True),
        (("/v1/files",), "/v1/files/1", False, False),
        (("/v1/files/*",), "/v1/files/1/content", False, True),
        (("/v1/files/*",), "/v1/files", False, False),
        (("/v1/files", "/v1/chat/*"), "/v1/chat/completions", True, True),
        (("/v1/files",), "/v1/chat/completions", True, False),
        (("*",), "/anything", False, True),
        ((), "/v1/chat/completions", True, False),
    ],
)
def test_a_route_takes_paths_as_they_are_or_by_what_they_begin_with(
    paths: tuple[str, ...] | None, path: str, endpoint: bool, takes: bool
) -> None:
    assert route(paths=paths).takes_path(path, endpoint=endpoint) is takes


@pytest.mark.parametrize(
    ("models", "model", "pattern"),
    [
        (None, "anything", "it"),
        (None, None, "it"),
        (("a", "gpt-*", "gpt-4o"), "gpt-4o", "gpt-*"),
        (("a", "gpt-*"), "a", "a"),
        (("a",), "b", None),
        (("*",), None, None),
    ],
)
def test_a_route_says_which_of_its_patterns_a_model_matched(
    models: tuple[str, ...] | None, model: str | None, pattern: str | None
) -> None:
    assert route(models=models).takes_model(model) == pattern


class Editing(Processor):
    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        pass


class Ending(Processor):
    def on_end(self, exchange: Exchange) -> None:
        pass


class Both(Ending, Editing):
    pass


def test_a_route_holds_the_hooks_that_exist_in_order() -> None:
    idle, editing, ending, both = Processor(), Editing(), Ending(), Both()
    made = route(processors=(both, idle, ending, editing))

    assert made.on_request == (both.on_request, editing.on_request)
    assert made.on_end == (both.on_end, ending.on_end)


CHAT, EMBEDDINGS = OpenAIChat(), OpenAIEmbeddings()
ROUTES = (
    route(
        "files",
        (
            "/v1/files",
            "/v1/files/*",
        ),
    ),
    route("embeddings", ("/v1/embeddings",), ("e-*",)),
    route("models", None, ("gpt-4o", "gpt-*")),
    route("rest", ("/v1/chat/completions", "/v1/rest")),
)
DIALECTS = {dialect.path: dialect for dialect in (CHAT, EMBEDDINGS)}
ROUTER = Router([CHAT, EMBEDDINGS], ROUTES)


def test_a_path_is_the_endpoint_of_one_dialect_or_of_none() -> None:
    assert ROUTER.dialect("/v1/chat/completions") is CHAT
    assert ROUTER.dialect("/v1/embeddings") is EMBEDDINGS
    for path in ("/v1/files", "/v1/chat/completions/", "/V1/embeddings", ""):
        assert ROUTER.dialect(path) is None


@pytest.mark.parametrize(
    ("path", "model", "name", "pattern"),
    [
        ("/v1/chat/completions", "gpt-4o", "models", "gpt-4o"),
        ("/v1/chat/completions", "gpt-5", "models", "gpt-*"),
        ("/v1/chat/completions", "other", "rest", "rest"),
        ("/v1/chat/completions", None, "rest", "rest"),
        ("/v1/embeddings", "e-1", "embeddings", "e-*"),
        ("/v1/embeddings", "gpt-e", "models", "gpt-*"),
    ],
)
def test_the_first_route_that_takes_path_and_model_is_it(
    path: str, model: str | None, name: str, pattern: str
) -> None:
    for _ in range(2):  # the second time it is remembered
        found, matched = ROUTER.route(DIALECTS[path], parsed(model))

        assert (found.name, matched) == (name, pattern)


def test_the_routes_of_a_thousand_models_are_remembered_and_no_more() -> None:
    router = Router([CHAT], ROUTES)
    for turn in range(2 * MAX_FOUND):
        assert router.route(CHAT, parsed(f"gpt-{turn}"))[0].name == "models"
        assert router.route(CHAT, parsed("other"))[0].name == "rest"
        assert len(router._found) <= MAX_FOUND


@pytest.mark.parametrize(
    ("model", "message", "param"),
    [
        ("other", "no route takes model 'other' on /v1/embeddings", "model"),
        (None, "no route takes /v1/embeddings", None),
    ],
)
def test_what_no_route_takes_is_told_with_what_was_asked_for(
    model: str | None, message: str, param: str | None
) -> None:
    with pytest.raises(NoRoute) as raised:
        ROUTER.route(EMBEDDINGS, parsed(model))

    assert (str(raised.value), raised.value.param) == (message, param)


@pytest.mark.parametrize(
    ("path", "endpoint", "name"),
    [
        ("/v1/files/1", False, "files"),
        ("/v1/rest", False, "rest"),
        ("/v1/models", False, None),
        ("/v1/embeddings", False, None),  # its route selects by a model, which nobody reads
    ],
)
def test_what_nobody_reads_passes_only_where_a_route_names_it_and_no_model(
    path: str, endpoint: bool, name: str | None
) -> None:
    found = ROUTER.passing(path, endpoint=endpoint)

    assert (found.name if found else None) == name


def test_a_route_that_takes_everything_passes_what_is_said_to_be_an_endpoint() -> None:
    router = Router([CHAT], (route("all"),))
    found = router.passing("/v1/models", endpoint=True)

    assert found is router.routes[0]
    assert router.passing("/v1/models") is None


def test_a_target_is_shown_as_the_configuration_spells_it() -> None:
    assert repr(Target(provider(), "m", NO_TIMEOUTS)) == "mine/m"
    assert repr(Target(provider(), None, NO_TIMEOUTS)) == "mine"
    assert repr(route("x")) == "<Route x>"


class Named(OpenAIChat):
    """Its path names the model."""

    name = "named"
    path = "/v1beta/models/{model}:generateContent"
    stream_path = "/v1beta/models/{model}:streamGenerateContent"
    aliases = ("/v1/models/{model}:generateContent", "/generate")


class Upstream(OpenAIChat):
    """Nobody speaks it to us."""

    name = "upstream"
    path = "/upstream"
    client_facing = False


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/gemini-2.5-pro:generateContent",
        "/v1beta/models/a%2Fb:streamGenerateContent",
        "/v1/models/tuned/x:generateContent",
        "/generate",
    ],
)
def test_a_path_may_name_the_model(path: str) -> None:
    named = Named()

    assert Router([CHAT, named, Upstream()], ROUTES).dialect(path) is named


@pytest.mark.parametrize(
    "path", ["/v1beta/models/:generateContent", "/v1beta/models/x:other", "/v1beta", "/upstream"]
)
def test_what_only_looks_like_an_endpoint_is_none(path: str) -> None:
    assert Router([CHAT, Named(), Upstream()], ROUTES).dialect(path) is None


def test_routes_match_the_canonical_path_of_an_endpoint() -> None:
    only = (route("google", paths=("/v1beta/*",)),)
    found, _ = Router([Named()], only).route(Named(), parsed("m"))

    assert found.name == "google"
