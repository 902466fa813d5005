"""Messages as Converse takes them."""

import json
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
    TextPart,
    ThinkingPart,
)
from proxy.dialects._bedrock.conversation import Conversation
from proxy.errors import BadRequest, Unsupported

ORIGIN = "bedrock_converse"
USER = Message("user", [TextPart(text="hi")])


def converse(*messages: Message, quirks: Quirks | None = None) -> tuple[Conversation, list[str]]:
    omissions = Omissions(ORIGIN, reject=False)
    rendering = Rendering(model="m", omissions=omissions, quirks=quirks or Quirks())
    return Conversation(Chat(model="m", messages=list(messages)), rendering), omissions.names


def content(*parts: Part) -> Any:
    conversation, _ = converse(Message("user", list(parts)))
    return conversation.messages[0]["content"]


def call(id: str, arguments: str = "") -> Message:
    return Message("assistant", [CallPart(id=id, name="f", arguments=arguments)])


def result(id: str, *parts: Part) -> Message:
    return Message("tool", [ResultPart(id=id, content=list(parts))])


def test_pictures_documents_and_sounds_are_sent_along() -> None:
    assert content(
        ImagePart(data="AA==", media_type="image/png", detail="auto"),
        ImagePart(url="s3://bucket/a.JPG"),
        FilePart(data="AA==", media_type="application/pdf", name="a/b.pdf"),
        FilePart(data="AA==", name="notes.md"),
        FilePart(url="s3://bucket/c.docx", name="x" * 300),
        FilePart(text="plain"),
        FilePart(text="again"),
        AudioPart(data="AA==", media_type="audio/wav"),
    ) == [
        {"image": {"format": "png", "source": {"bytes": "AA=="}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.JPG"}}}},
        {"document": {"format": "pdf", "name": "a b pdf", "source": {"bytes": "AA=="}}},
        {"document": {"format": "md", "name": "notes md", "source": {"bytes": "AA=="}}},
        {
            "document": {
                "format": "docx",
                "name": "x" * 190,
                "source": {"s3Location": {"uri": "s3://bucket/c.docx"}},
            }
        },
        {"document": {"format": "txt", "name": "document", "source": {"text": "plain"}}},
        {"document": {"format": "txt", "name": "document 2", "source": {"text": "again"}}},
        {"audio": {"format": "wav", "source": {"bytes": "AA=="}}},
    ]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (ImagePart(url="https://a/b.png"), "an image at a URL"),
        (ImagePart(file_id="f", origin="openai_chat"), "an image that is kept elsewhere"),
        (ImagePart(data="AA==", media_type="image/tiff"), "an image of the type image/tiff"),
        (ImagePart(url="s3://a/b"), r"an image of the type \(none given\)"),
        (FilePart(file_id="f", origin="openai_chat"), "a file that is kept elsewhere"),
        (FilePart(url="https://a/b.pdf"), "a file at a URL"),
        (FilePart(data="AA==", media_type="application/zip"), "a file of the type application/zip"),
        (AudioPart(data="AA==", media_type="audio/x"), "audio of the type audio/x"),
        (CallPart(id="c", name="f", arguments="x", custom=True), "the free text of the call"),
    ],
)
def test_what_cannot_be_sent_along_is_refused(part: Part, words: str) -> None:
    after = [result("c")] * isinstance(part, CallPart)
    with pytest.raises(Unsupported, match=f"{words}.* cannot be carried"):
        converse(Message("assistant", [part]), *after)


def test_how_closely_to_look_and_names_of_speakers_are_hints() -> None:
    seen = ImagePart(data="AA==", media_type="image/png", detail="high")

    assert converse(Message("user", [seen], "x"))[1] == ["name", "detail"]


def test_calls_and_results_stand_in_turns_that_alternate() -> None:
    conversation, _ = converse(
        USER,
        call("a/1", '{"n": 1.50}'),
        Message("user", [TextPart(text="well?")]),
        Message("tool", [ResultPart(id="a/1", content=[TextPart(text="r")], error=True)]),
    )

    assert [message["role"] for message in conversation.messages] == ["user", "assistant", "user"]
    use = conversation.messages[1]["content"][0]["toolUse"]
    assert (use["toolUseId"], bytes(use["input"])) == ("a_1", b'{"n": 1.50}')
    assert conversation.messages[2]["content"] == [
        {"toolResult": {"toolUseId": "a_1", "content": [{"text": "r"}], "status": "error"}},
        {"text": "well?"},
    ]


def test_a_result_of_nothing_has_no_content() -> None:
    conversation, _ = converse(call("a"), result("a", TextPart(text="")))

    assert conversation.messages[1]["content"] == [
        {"toolResult": {"toolUseId": "a", "content": []}}
    ]


def test_ids_that_are_too_long_are_cut_and_stay_apart() -> None:
    one, two = "x" * 70 + "1", "x" * 70 + "2"
    conversation, _ = converse(
        Message("assistant", [*call(one).parts, *call(two).parts]),
        Message("tool", [*result(one).parts, *result(two).parts]),
    )
    uses = [block["toolUse"]["toolUseId"] for block in conversation.messages[0]["content"]]
    results = [block["toolResult"]["toolUseId"] for block in conversation.messages[1]["content"]]

    assert uses == results
    assert len(set(uses)) == 2
    assert {len(id) for id in uses} == {64}


@pytest.mark.parametrize(
    "messages", [[result("x")], [USER, call("x")], [call("x"), USER, call("x"), result("x")]]
)
def test_a_call_and_its_result_go_together(messages: list[Message]) -> None:
    with pytest.raises(BadRequest, match="`x`"):
        converse(*messages)


@pytest.mark.parametrize("arguments", ["[1]", "{", "nope"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(Unsupported, match="no JSON object"):
        converse(call("c", arguments), result("c"))


def test_its_own_thinking_goes_back_and_others_stay() -> None:
    own = ThinkingPart(text="t", signature="s", origin=ORIGIN)
    unsigned = ThinkingPart(text="u", origin=ORIGIN)
    hidden = ThinkingPart(signature="h", origin=ORIGIN, redacted=True)
    other = ThinkingPart(text="t", signature="s", origin="anthropic_messages")
    conversation, dropped = converse(USER, Message("assistant", [own, unsigned, hidden, other]))

    assert conversation.messages[1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}},
        {"reasoningContent": {"reasoningText": {"text": "u"}}},
        {"reasoningContent": {"redactedContent": "h"}},
    ]
    assert dropped == ["reasoning"]


def test_a_turn_that_goes_on_may_have_lost_its_thinking() -> None:
    thought = ThinkingPart(text="t", signature="s", origin=ORIGIN)
    kept = Message("assistant", [thought, *call("c").parts])

    assert not converse(USER)[0].resumes
    assert converse(call("c"), result("c"))[0].resumes
    assert not converse(kept, result("c"))[0].resumes
    over, _ = converse(call("c"), result("c"), Message("assistant", [TextPart(text="a")]), USER)
    assert not over.resumes
    assert over.calls


def test_cache_marks_stand_behind_what_they_mark() -> None:
    marked = [
        Message("system", [TextPart(text="s", cache="")]),
        Message("user", [TextPart(text="a", cache="1h"), RefusalPart(text="b")]),
    ]
    conversation, _ = converse(*marked)

    assert conversation.system == [{"text": "s"}, {"cachePoint": {"type": "default"}}]
    assert conversation.messages[0]["content"] == [
        *({"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "b"}),
    ]
    refused, dropped = converse(*marked, quirks=Quirks(refuses=("cache",)))
    assert refused.system == [{"text": "s"}]
    assert dropped == ["cache"]


def test_the_system_has_turns_of_its_own_where_they_are_taken() -> None:
    later = Message("system", [TextPart(text="b")])

    assert converse(USER, later)[0].messages[0]["content"] == [{"text": "hi"}, {"text": "b"}]
    assert converse(USER, later, quirks=Quirks(system_messages=True))[0].messages[1] == {
        "role": "system",
        "content": [{"text": "b"}],
    }


def test_native_blocks_are_said_again() -> None:
    native = NativePart(Raw(b'{"video":{"n": 1.0}}'), ORIGIN, "video")

    assert json.loads(bytes(content(native)[0])) == {"video": {"n": 1.0}}
