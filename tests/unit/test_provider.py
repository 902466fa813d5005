"""Presets, and what a provider makes of a client's request."""

import re
from itertools import chain
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.provider import ProviderConfig
from proxy.dialects.gemini import GeminiGenerate
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_completions import OpenAICompletions
from proxy.dialects.openai_embeddings import OpenAIEmbeddings
from proxy.errors import BadRequest, Unsupported
from proxy.preset import Endpoint, presets
from proxy.provider import MAX_HEADS, encode_segment
from proxy.registry import names
from proxy.url import parse_address
from proxy.via import Via
from tests.unit.conftest import NO_TIMEOUTS, CountingToken, Request, key, provider


def test_the_presets_are_read_once() -> None:
    assert presets() is presets()


def test_openai_needs_nothing_but_its_variable() -> None:
    openai = presets()["openai"]

    assert openai.url == "https://api.openai.com/v1"
    assert openai.token_env == ("OPENAI_API_KEY",)
    assert openai.needs_token
    assert openai.stream_usage


def test_a_server_of_ones_own_needs_a_url_and_no_token() -> None:
    for name in ("openai_compatible", "vllm"):
        assert presets()[name].url is None
        assert not presets()[name].needs_token
    assert presets()["ollama"].url == "http://127.0.0.1:11434/v1"


def test_every_auth_header_has_a_place_for_the_token() -> None:
    for preset in presets().values():
        if preset.auth is not None:
            assert re.fullmatch(r"[a-z-]+: [A-Za-z ]*\{token\}", preset.auth)
    assert presets()["mock"].auth is None


def test_every_preset_speaks_dialects_that_there_are() -> None:
    for preset in presets().values():
        spoken = {*preset.dialects, *preset.endpoints, *chain(*preset.models.values())}
        assert spoken <= set(names("dialects"))
        assert spoken == set(preset.dialects)


def test_what_must_be_translated_is_so_into_more_than_completions() -> None:
    # They are the last of the form: they can be asked one text only.
    for preset in presets().values():
        if "openai_completions" in preset.dialects:
            spoken = preset.dialects
            assert spoken.index("openai_chat") < spoken.index("openai_completions")


def test_a_completion_is_had_of_who_knows_chats_only() -> None:
    who = provider(dialects=[OpenAIChat()])
    assert who.speaks(OpenAICompletions(), "m").dialect.name == "openai_chat"


def test_every_preset_can_be_used_with_its_variables_and_a_url() -> None:
    for name, preset in presets().items():
        if name == "mock":
            continue
        given = {variable: "x" for variable, value in preset.variables.items() if not value}
        section = ProviderConfig(type=name, variables=given)
        url = section.preset().filled("url", preset.url or "http://a/v1")
        assert "{" not in url
        parse_address(url)


def test_who_starts_by_its_key_needs_it() -> None:
    for preset in presets().values():
        assert not preset.needs_token or preset.token_env


PATH = "/chat/completions"
ADDRESS = parse_address("http://a:8000/v1")
HEADERS = [
    ("Host", "proxy"),
    ("Authorization", "Bearer of-the-client"),
    ("X-Api-Key", "of-the-client"),
    ("Content-Type", "application/json"),
    ("Content-Encoding", "gzip"),
    ("Accept-Encoding", "gzip"),
    ("Content-Length", "2"),
    ("X-Mine", "1"),
]


def test_a_request_goes_to_its_address_with_the_proxys_token() -> None:
    address = parse_address("https://a/base/v1")
    timeouts = msgspec.structs.replace(NO_TIMEOUTS, connect=5.0)
    request = Request(headers=HEADERS)
    final = provider().final(request, address, key("sk-1"), timeouts, b'{"a":1}', PATH)

    assert final.head == (
        b"POST /base/v1/chat/completions HTTP/1.1\r\nhost: a\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\nContent-Type: application/json\r\n"
    )
    assert (final.method, final.origin, final.timeouts) == ("POST", address.origin, timeouts)
    assert (final.body, final.length) == (b'{"a":1}', 7)


def test_without_a_token_nobody_is_authenticated() -> None:
    request = Request(headers=HEADERS)
    for who in (provider(auth=None), provider()):
        assert who.final(request, ADDRESS, None, NO_TIMEOUTS, b"", PATH).head == (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: a:8000\r\n"
            b"accept-encoding: identity\r\nContent-Type: application/json\r\n"
        )


def test_the_token_goes_where_the_provider_wants_it() -> None:
    made = provider(auth="x-api-key: {token}").final(
        Request(), ADDRESS, key("k"), NO_TIMEOUTS, b"", PATH
    )

    assert b"\r\nx-api-key: k\r\n" in made.head


class Bearer(CountingToken):
    auth = "authorization: Bearer {token}"


def test_a_token_may_say_itself_where_it_goes() -> None:
    who, token = provider(auth="x-api-key: {token}"), Bearer()
    for sent in (b"sk-1", b"sk-2"):
        head = who.final(Request(), ADDRESS, token, NO_TIMEOUTS, b"", PATH).head
        assert b"\r\nauthorization: Bearer %b\r\n" % sent in head
        assert b"x-api-key" not in head


def test_what_a_section_says_of_that_wins() -> None:
    who = provider(auth="x-mine: {token}", auth_said=True)
    head = who.final(Request(), ADDRESS, Bearer(), NO_TIMEOUTS, b"", PATH).head

    assert b"\r\nx-mine: sk-1\r\n" in head
    assert b"authorization" not in head


def test_each_token_has_its_own_line() -> None:
    who, tokens = provider(), [key("sk-1"), key("sk-2"), key("sk-1")]
    heads = [who.final(Request(), ADDRESS, t, NO_TIMEOUTS, b"", PATH).head for t in tokens * 2]

    assert [head.partition(b"Bearer ")[2][:4] for head in heads] == [b"sk-1", b"sk-2", b"sk-1"] * 2


def test_who_takes_no_token_is_sent_none() -> None:
    head = provider(auth=None).final(Request(), ADDRESS, key("sk-1"), NO_TIMEOUTS, b"", PATH).head

    assert b"sk-1" not in head
    assert b"\r\n\r\n" not in head


def test_a_provider_may_get_more_of_its_clients_fields() -> None:
    request = Request(headers=[*HEADERS, ("Connection", "x-other"), ("X-Other", "2")])
    head = (
        provider(auth=None, forward=("x-*",))
        .final(request, ADDRESS, None, NO_TIMEOUTS, b"", PATH)
        .head
    )

    assert b"X-Mine: 1\r\n" in head
    assert b"X-Other" not in head


def test_what_each_provider_gets_of_a_clients_fields_is_known_for_the_next_request() -> None:
    one, two = provider("one"), provider("two", forward=("x-mine",))
    first, second = Request(headers=HEADERS), Request(headers=HEADERS)
    for who in (one, two):
        who.final(first, ADDRESS, None, NO_TIMEOUTS, b"", PATH)
    second.forwarded = first.forwarded
    second.raw_headers = ()

    assert b"X-Mine" not in one.final(second, ADDRESS, None, NO_TIMEOUTS, b"", PATH).head
    assert b"X-Mine: 1\r\n" in two.final(second, ADDRESS, None, NO_TIMEOUTS, b"", PATH).head


def test_each_address_and_path_has_its_own_head() -> None:
    mine = provider(auth=None)
    lines = [
        mine.final(Request(), parse_address(url), None, NO_TIMEOUTS, b"", path).head.split(b" ")
        for url in ("http://a/v1", "http://b/x")
        for path in ("/embeddings", "/completions", "/embeddings")
    ]

    assert [line[1] for line in lines] == [
        *(b"/v1/embeddings", b"/v1/completions", b"/v1/embeddings"),
        *(b"/x/embeddings", b"/x/completions", b"/x/embeddings"),
    ]


@pytest.mark.parametrize(
    ("url", "path", "query", "target"),
    [
        ("http://a/v1", "/v1/files", "", b"/v1/files"),
        ("http://a", "/v1/files", "", b"/files"),
        ("http://a/x", "/v1/files/f%20-1", "limit=2&a=%26", b"/x/files/f%20-1?limit=2&a=%26"),
        ("http://a/x", "/health", "", b"/x/health"),
        ("http://a", "/v1beta/models", "", b"/v1beta/models"),
        ("http://a", "/v1", "", b"/"),
        ("http://a/v1", "/v1", "", b"/v1/"),
        ("http://a", "/v1/", "", b"/"),
        ("http://a/v1", "/v1/v1/x", "", b"/v1/v1/x"),
        ("http://a/x", "/v1/m", "key=secret", b"/x/m"),
        ("http://a/x", "/v1/m", "alt=sse&key=secret&b=c", b"/x/m?alt=sse&b=c"),
        ("http://a/x", "/v1/m", "monkey=1&key=", b"/x/m?monkey=1"),
    ],
)
def test_a_path_that_passes_through_keeps_its_query_but_for_a_credential(
    url: str, path: str, query: str, target: bytes
) -> None:
    request = Request(method="GET", path=path, query=query)
    final = provider(auth=None).passed(request, parse_address(url), None, NO_TIMEOUTS, b"")

    assert final.head.split(b"\r\n")[0] == b"GET %b HTTP/1.1" % target
    assert final.method == "GET"


def test_a_body_that_passes_through_keeps_what_describes_it() -> None:
    request = Request(b"12", headers=[*HEADERS, ("Range", "bytes=0-"), ("If-None-Match", "x")])
    chunks = request.chunks()
    final = provider().passed(request, ADDRESS, key("sk-1"), NO_TIMEOUTS, chunks)

    assert final.head == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a:8000\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\nContent-Type: application/json\r\n"
        b"Content-Encoding: gzip\r\nRange: bytes=0-\r\nIf-None-Match: x\r\n"
    )
    assert final.body is chunks
    assert final.length == 2


def test_a_provider_may_be_asked_through_a_proxy() -> None:
    via = Via(lambda: "http://proxy")
    who = provider(via=via)
    for final in (
        who.final(Request(), ADDRESS, None, NO_TIMEOUTS, b"", PATH),
        who.passed(Request(), ADDRESS, None, NO_TIMEOUTS, b""),
    ):
        assert final.origin == msgspec.structs.replace(ADDRESS.origin, via=via)
        assert final.origin != ADDRESS.origin


def test_a_provider_is_shown_by_its_name_alone() -> None:
    assert repr(provider()) == "<Provider mine>"


def test_a_request_in_a_dialect_that_it_speaks_stays_in_it() -> None:
    chat = OpenAIChat()

    assert provider(dialects=[chat]).speaks(chat, "m").dialect is chat


def test_a_provider_without_an_endpoint_of_the_kind_says_so() -> None:
    with pytest.raises(Unsupported, match="provider mine has no endpoint for what /v1/embeddings"):
        provider(dialects=[OpenAIChat()]).speaks(OpenAIEmbeddings(), "m")


class Other(OpenAIChat):
    name = "other"
    form = "chat"
    path = "/v2/models/{model}:say"
    stream_path = "/v2/models/{model}:saying"


class Third(Other):
    name = "third"


def test_any_other_is_asked_in_the_first_dialect_of_its_form() -> None:
    other, third = Other(), Third()
    who = provider(dialects=[OpenAIEmbeddings(), other, third])

    class Client(OpenAIChat):
        name = "client"
        form = "chat"

    assert who.speaks(Client(), "m").dialect is other
    which = provider(dialects=[other, third], models={"x-*": ("third",)})
    assert which.speaks(Client(), "x-1").dialect is third
    assert which.speaks(other, "x-1").dialect is third
    assert which.speaks(Client(), "y").dialect is other


def test_a_model_in_a_path_is_one_segment() -> None:
    who = provider(dialects=[Other()], root="")

    assert (
        who.speaks(Other(), "a/b:c d").target("a/b:c d", stream=False)
        == "/v2/models/a%2Fb%3Ac%20d:say"
    )
    assert (
        who.speaks(Other(), "m").target("m", stream=True, query="alt=sse")
        == "/v2/models/m:saying?alt=sse"
    )


def test_a_model_in_a_path_may_keep_its_slashes() -> None:
    who = provider(dialects=[Other()], endpoints={"other": Endpoint(path="/run/{model:path}")})
    spoken = who.speaks(Other(), "m")

    assert spoken.target("@cf/meta/llama:3 b", stream=False) == "/run/%40cf/meta/llama%3A3%20b"
    for model in ("a//b", "a/../b", "../b", "a/.", "/a", ""):
        with pytest.raises(BadRequest, match="cannot stand in a path") as raised:
            spoken.target(model, stream=False)
        assert raised.value.param == "model"


@pytest.mark.parametrize("model", ["", ".", ".."])
def test_a_model_that_leads_elsewhere_stands_in_no_path(model: str) -> None:
    spoken = provider(dialects=[Other()]).speaks(Other(), "m")
    with pytest.raises(BadRequest, match="cannot stand in a path"):
        spoken.target(model, stream=False)


def test_a_model_that_is_not_unicode_stands_in_no_path() -> None:
    spoken = provider(dialects=[Other()]).speaks(Other(), "m")
    with pytest.raises(BadRequest, match="is not Unicode"):
        spoken.target("\ud800", stream=True)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_segment_is_read_back_as_it_was_and_is_nothing_but_a_segment(name: str) -> None:
    if name in (".", ".."):
        return
    encoded = encode_segment(name)

    assert unquote(encoded) == name
    assert re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", encoded)


def test_a_path_of_its_own_keeps_its_query() -> None:
    own = {"other": Endpoint(path="/say/{model}?v=1")}
    who = provider(dialects=[Other()], endpoints=own)

    spoken = who.speaks(Other(), "m")
    assert spoken.target("m", stream=True, query="a=b") == "/say/m?v=1&a=b"


def test_a_translated_body_leaves_what_described_the_clients_own() -> None:
    headers = [*HEADERS, ("User-Agent", "sdk"), ("Anthropic-Version", "1"), ("Accept", "*/*")]
    who = provider(auth=None, forward=("x-mine",), headers={"Anthropic-Version": "2"})
    request = Request(headers=headers)
    ours = who.final(request, ADDRESS, None, NO_TIMEOUTS, b"", PATH, translated=True).head
    theirs = who.final(request, ADDRESS, None, NO_TIMEOUTS, b"", PATH).head

    said = (b"X-Mine: 1", b"User-Agent: sdk", b"content-type: application/json")
    assert ours.endswith(b"\r\n".join((b"", *said, b"anthropic-version: 2", b"")))
    assert b"\r\nAnthropic-Version: 1\r\n" in theirs
    assert b"anthropic-version: 2" not in theirs


def test_heads_do_not_pile_up() -> None:
    who = provider(dialects=[Other()])
    for number in range(MAX_HEADS + 10):
        path = who.speaks(Other(), "").target(f"m{number}", stream=False)
        who.final(Request(), ADDRESS, None, NO_TIMEOUTS, b"", path)

    assert len(who._heads) <= MAX_HEADS


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-x", "/v1beta/models/gemini-x:generateContent"),
        ("tunedModels/my-1", "/v1beta/tunedModels/my-1:generateContent"),
        ("tunedModels/a b", "/v1beta/tunedModels/a%20b:generateContent"),
        ("x/tunedModels/y", "/v1beta/models/x%2FtunedModels%2Fy:generateContent"),
    ],
)
def test_a_tuned_model_of_geminis_stands_in_its_own_collection(model: str, path: str) -> None:
    gemini = GeminiGenerate()
    asked = provider(dialects=[gemini]).speaks(gemini, model)

    assert asked.target(model, stream=False) == path
    assert asked.target(model, stream=True) == path.replace(":g", ":streamG")


def test_a_tuned_model_leads_nowhere_else() -> None:
    gemini = GeminiGenerate()
    with pytest.raises(BadRequest):
        provider(dialects=[gemini]).speaks(gemini, "").target("tunedModels/../x", stream=False)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], [b"anthropic-beta: ours"]),
        ([("Anthropic-Beta", "theirs")], [b"Anthropic-Beta: theirs", b"anthropic-beta: ours"]),
    ],
)
def test_features_of_anthropics_add_up(sent: list[tuple[str, str]], expected: list[bytes]) -> None:
    """Trap 19: none is replaced by another. A field may come twice (RFC 9110 5.3)."""
    mine = provider(headers={"anthropic-beta": "ours"})
    final = mine.final(Request(b"", headers=sent), ADDRESS, None, NO_TIMEOUTS, b"", PATH)

    lines = final.head.split(b"\r\n")
    assert [line for line in lines if line.lower().startswith(b"anthropic-beta")] == expected
