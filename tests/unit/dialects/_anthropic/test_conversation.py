"""Messages as their API takes them: turns that alternate, every call with its result."""

import base64
from typing import Any

import pytest

from proxy.chat import (
    AudioPart,
    CallPart,
    Chat,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Omissions,
    Part,
    Quirks,
    Raw,
    RefusalPart,
    Rendering,
    ResultPart,
    Role,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._anthropic.conversation import Conversation
from proxy.dialects._anthropic.wire import ORIGIN, encode
from proxy.errors import BadRequest, Unsupported

DIALECT = "anthropic_messages"


def said(role: Role, *parts: Part | str, name: str | None = None) -> Message:
    return Message(role, [TextPart(text=p) if isinstance(p, str) else p for p in parts], name)


def call(id: str, arguments: str = "{}", **more: Any) -> CallPart:
    return CallPart(id=id, name="f", arguments=arguments, **more)


def result(id: str, *content: Part | str, **more: Any) -> ResultPart:
    return ResultPart(id=id, content=said("tool", *content).parts, **more)


def render(
    *messages: Message, origin: str = "openai_chat", quirks: Quirks | None = None
) -> tuple[Conversation, list[str]]:
    rendering = Rendering(
        model="m", omissions=Omissions(DIALECT, reject=False), quirks=quirks or Quirks()
    )
    chat = Chat(model="m", messages=list(messages), origin=origin)
    return Conversation(chat, rendering), rendering.omissions.names


def turns(*messages: Message, **more: Any) -> list[tuple[str, Any]]:
    conversation, _ = render(*messages, **more)
    return [(turn["role"], turn["content"]) for turn in conversation.messages]


def block(part: Part, **more: Any) -> Any:
    ((_, content),) = turns(said("user", part), **more)
    (only,) = content
    return only


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_neighbours_of_one_role_are_one_turn() -> None:
    assert turns(
        said("user", "a"),
        said("user", "b", name="x"),
        said("assistant", "c"),
        said("assistant", "d"),
        said("user", "e"),
    ) == [
        ("user", [text("a"), text("b")]),
        ("assistant", [text("c"), text("d")]),
        ("user", "e"),
    ]


def test_names_of_speakers_are_hints() -> None:
    assert render(said("user", "a", name="x"))[1] == ["name"]


def test_empty_texts_and_turns_of_nothing_are_left_out() -> None:
    assert turns(said("user", "a", ""), said("assistant", ""), said("user", "b"), said("user")) == [
        ("user", [text("a"), text("b")])
    ]


def test_all_leading_system_texts_are_the_system_and_keep_their_borders() -> None:
    conversation, _ = render(
        said("system", "a", ""),
        said("system", TextPart(text="b", cache="1h")),
        said("user", "hi"),
    )

    mark = {"type": "ephemeral", "ttl": "1h"}
    assert conversation.system == [text("a"), text("b") | {"cache_control": mark}]


@pytest.mark.parametrize(
    ("more", "role"),
    [
        ({}, "user"),
        ({"origin": ORIGIN}, "system"),
        ({"quirks": Quirks(system_messages=True)}, "system"),
    ],
)
def test_a_later_system_text_stays_in_its_place(more: dict[str, Any], role: str) -> None:
    told = turns(said("user", "a"), said("system", "b"), said("user", "c"), **more)

    if role == "user":
        assert told == [("user", [text("a"), text("b"), text("c")])]
    else:
        assert told == [("user", "a"), ("system", "b"), ("user", "c")]


def test_results_stand_first_in_the_turn_after_their_calls_in_whatever_order_they_come() -> None:
    assert turns(
        said("assistant", "let me see", call("a"), call("b", '{"n": 1.0}')),
        said("tool", result("b", "2")),
        said("user", "and?"),
        said("tool", result("a", "1", "one", error=True)),
        said("user", "well?"),
    )[1] == (
        "user",
        [
            {"type": "tool_result", "tool_use_id": "b", "content": "2"},
            {
                "type": "tool_result",
                "tool_use_id": "a",
                "content": [text("1"), text("one")],
                "is_error": True,
            },
            text("and?"),
            text("well?"),
        ],
    )


def test_a_result_of_nothing_has_no_content() -> None:
    told = turns(said("assistant", call("a")), said("tool", result("a", "")))

    assert told[1][1] == [{"type": "tool_result", "tool_use_id": "a"}]


def test_a_call_without_arguments_has_an_empty_object_and_others_keep_their_spelling() -> None:
    ((_, content), _) = turns(
        said("assistant", call("a", ""), call("b", '{ "n": 1.0e2 }')),
        said("tool", result("a"), result("b")),
    )

    assert encode(content[0]) == b'{"type":"tool_use","id":"a","name":"f","input":{}}'
    assert encode(content[1]) == b'{"type":"tool_use","id":"b","name":"f","input":{ "n": 1.0e2 }}'


@pytest.mark.parametrize("arguments", ["{", "[]", '"x"', "{}x", "nonsense", "[" * 100_000])
def test_arguments_that_are_no_object_are_refused_by_name(arguments: str) -> None:
    with pytest.raises(Unsupported, match="the arguments of the call `a` of `f`, no JSON object,"):
        render(said("assistant", call("a", arguments)), said("tool", result("a")))


@pytest.mark.parametrize("part", [call("a", "x", custom=True), AudioPart(data="A", media_type="x")])
def test_free_text_and_sounds_are_refused(part: Part) -> None:
    with pytest.raises(Unsupported, match="cannot be carried to a provider of anthropic_messages"):
        render(said("assistant", part), *[said("tool", result("a"))] * isinstance(part, CallPart))


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([said("assistant", call("a")), said("user", "hm")], "the tool call `a` has no result"),
        ([said("assistant", call("a"))], "the tool call `a` has no result"),
        (
            [said("assistant", call("a"), call("b")), said("tool", result("a"))],
            "the tool call `b` has no result",
        ),
        ([said("tool", result("a"))], "the tool result for `a` follows no tool call"),
        (
            [said("assistant", call("a")), said("tool", result("a"), result("z"))],
            "the tool result for `z` follows no tool call",
        ),
        (
            [
                *(said("assistant", call("a")), said("tool", result("a"))),
                *(said("assistant", "ok"), said("tool", result("a"))),
            ],
            "the tool result for `a` follows no tool call",
        ),
    ],
)
def test_a_call_without_its_result_and_a_result_without_its_call_are_refused(
    messages: list[Message], words: str
) -> None:
    with pytest.raises(BadRequest, match=words) as raised:
        render(*messages)
    assert raised.value.param == "messages"
    # What the client asked in their own words, the provider refuses in its own.
    render(*messages, origin=ORIGIN)


def test_ids_that_they_would_refuse_are_changed_in_both_places() -> None:
    told = turns(said("assistant", call("f:1.é")), said("tool", result("f:1.é")))

    assert told[0][1][0]["id"] == told[1][1][0]["tool_use_id"] == "f_1__"
    own = turns(said("assistant", call("f:1")), said("tool", result("f:1")), origin=ORIGIN)
    assert own[0][1][0]["id"] == "f:1"


PDF = FilePart(data="AAAA", media_type="application/pdf", name="a.pdf")
TEXT = base64.b64encode("é".encode()).decode()


@pytest.mark.parametrize(
    ("part", "spelled"),
    [
        (
            ImagePart(data="AAAA", media_type="image/png", detail="auto"),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
        ),
        (
            ImagePart(url="https://x/a"),
            {"type": "image", "source": {"type": "url", "url": "https://x/a"}},
        ),
        (
            ImagePart(file_id="f", origin=ORIGIN, cache=""),
            {
                "type": "image",
                "source": {"type": "file", "file_id": "f"},
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            PDF,
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                "title": "a.pdf",
            },
        ),
        (
            FilePart(url="https://x/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
        ),
        (
            FilePart(text="words"),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "words"},
            },
        ),
        (
            FilePart(data=TEXT, media_type="text/markdown"),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "é"},
            },
        ),
        (
            FilePart(file_id="f", origin=ORIGIN),
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
        ),
    ],
)
def test_images_and_documents_by_where_they_are(part: Part, spelled: object) -> None:
    assert block(part) == spelled


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (ImagePart(file_id="f", origin="openai_chat"), "an image that another provider keeps"),
        (FilePart(file_id="f", origin="gemini"), "an attachment that another provider keeps"),
        (FilePart(data="AA", media_type="application/zip"), "a file of the type application/zip"),
        (FilePart(data="AA"), r"a file of the type \(none given\)"),
    ],
)
def test_files_that_they_cannot_read_are_refused(part: Part, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        block(part)


@pytest.mark.parametrize("data", ["?", base64.b64encode(b"\xff").decode()])
def test_a_text_file_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(BadRequest, match="not UTF-8 in base64"):
        block(FilePart(data=data, media_type="text/plain"))


def test_how_closely_to_look_is_a_hint() -> None:
    _, names = render(said("user", ImagePart(url="https://x", detail="high")))

    assert names == ["detail"]


def test_thinking_goes_back_only_to_who_thought_it() -> None:
    own = ThinkingPart(text="hm", signature="s", origin=ORIGIN)
    redacted = ThinkingPart(signature="d", origin=ORIGIN, redacted=True)
    foreign = ThinkingPart(text="hm", signature="s", origin="gemini")
    unsigned = ThinkingPart(text="hm")

    conversation, names = render(said("assistant", own, redacted, foreign, unsigned, "so"))
    assert conversation.messages[0]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        text("so"),
    ]
    assert names == ["reasoning"]
    assert render(said("assistant", ThinkingPart(signature="x", origin="gemini"), "a"))[1] == []


def test_a_turn_that_goes_on_may_have_lost_its_thinking() -> None:
    own = ThinkingPart(signature="s", origin=ORIGIN)
    answered = said("tool", result("a"))

    assert render(said("user", "a"))[0].thinks
    assert render(said("assistant", "b"), said("user", "a"))[0].thinks
    assert render(said("assistant", own, call("a")), answered)[0].thinks
    assert not render(said("assistant", "b", call("a")), answered)[0].thinks


def test_a_refusal_is_what_the_model_said() -> None:
    assert turns(said("assistant", RefusalPart(text="no"))) == [("assistant", "no")]


def test_hints_and_native_blocks_are_said_again_in_their_own_dialect_only() -> None:
    cited = TextPart(text="a", extra={"citations": Raw(b"[1]")})
    native = NativePart(Raw(b'{"type":"x", "n": 1.0}'), ORIGIN, "x")
    conversation, _ = render(said("assistant", cited, native), origin=ORIGIN)

    assert encode(conversation.messages[0]["content"]) == (
        b'[{"type":"text","text":"a","citations":[1]},{"type":"x", "n": 1.0}]'
    )
    assert turns(said("assistant", cited)) == [("assistant", "a")]


def test_cache_marks_are_left_out_where_they_are_refused() -> None:
    marked = said("user", TextPart(text="a", cache=""))
    conversation, names = render(marked, quirks=Quirks(refuses=("cache",)))

    assert conversation.messages == [{"role": "user", "content": "a"}]
    assert names == ["cache"]
