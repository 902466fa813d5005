"""The messages of a chat of any dialect, as items."""

import json
from typing import Any

import msgspec
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
    RefusalPart,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects.openai_responses.inputs import InputWriter
from proxy.dialects.openai_responses.wire import NAME, pack
from proxy.errors import Unsupported
from proxy.exchange import Raw


def write(
    *messages: Message, origin: str = "anthropic_messages", **quirks: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    chat = Chat(model="m", messages=list(messages), origin=origin)
    omissions = Omissions(NAME, reject=False)
    written = InputWriter(chat, omissions, Quirks(**quirks)).write()
    return json.loads(msgspec.json.encode(written)), omissions.names


def text(*words: str) -> list[TextPart]:
    return [TextPart(text=word) for word in words]


def user(*parts: Part, **more: Any) -> Any:
    [item], omitted = write(Message("user", list(parts)), **more)
    assert (item["role"], omitted) == ("user", [])
    return item["content"]


def assistant(*parts: Part) -> list[dict[str, Any]]:
    items, omitted = write(Message("assistant", list(parts)))
    assert omitted == []
    return items


URL = "https://example.com/a"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ImagePart(url=URL), {"type": "input_image", "image_url": URL, "detail": "auto"}),
        (
            ImagePart(data="AA", media_type="image/gif", detail="low"),
            {"type": "input_image", "image_url": "data:image/gif;base64,AA", "detail": "low"},
        ),
        (
            ImagePart(file_id="f", origin=NAME),
            {"type": "input_image", "file_id": "f", "detail": "auto"},
        ),
        (FilePart(url=URL), {"type": "input_file", "file_url": URL}),
        (
            FilePart(data="AA", media_type="application/pdf", name="n"),
            {
                "type": "input_file",
                "file_data": "data:application/pdf;base64,AA",
                "filename": "n",
            },
        ),
        (FilePart(file_id="f", origin="openai_chat"), {"type": "input_file", "file_id": "f"}),
        (FilePart(text="words"), {"type": "input_text", "text": "words"}),
        (
            AudioPart(data="AA", media_type="audio/mpeg"),
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        ),
    ],
)
def test_parts(part: Part, expected: dict[str, Any]) -> None:
    assert user(part) == [expected]


def test_texts() -> None:
    assert user(*text("a")) == "a"
    assert user() == ""
    assert user(*text("a", "b")) == [{"type": "input_text", "text": x} for x in "ab"]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(file_id="f", origin="anthropic_messages"),
        FilePart(file_id="f", origin="anthropic_messages"),
        ThinkingPart(text="hm"),
    ],
)
def test_parts_that_cannot_be_said_are_refused(part: Part) -> None:
    with pytest.raises(Unsupported):
        user(part)


def test_an_assistants_turn_is_items_in_their_order() -> None:
    signature = pack("rs", "e")
    items = assistant(
        ThinkingPart(text="hm", signature=signature, origin=NAME),
        *text("a", "b"),
        CallPart(id="c", name="f", arguments=""),
        CallPart(id="d", name="g", arguments="free", custom=True),
        RefusalPart(text="no"),
    )

    assert items == [
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "e",
        },
        {"role": "assistant", "content": "ab"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "free"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "no"}],
        },
    ]


def test_reasoning_that_nobody_here_signed_is_left_out() -> None:  # trap 20
    parts: list[Part] = [
        ThinkingPart(text="hm"),
        ThinkingPart(text="hm", signature="s", origin="gemini"),
    ]

    assert write(Message("assistant", [*parts, *text("a")])) == (
        [{"role": "assistant", "content": "a"}],
        ["thinking"],
    )


def test_an_assistants_image_is_refused() -> None:
    with pytest.raises(Unsupported, match="ImagePart"):
        assistant(ImagePart(url=URL))


def test_results_are_of_the_kind_of_their_calls() -> None:
    calls: list[Part] = [
        CallPart(id="c", name="f", arguments="{}"),
        CallPart(id="d", name="g", arguments="", custom=True),
    ]
    results: list[Part] = [
        ResultPart(id="c", content=[*text("1"), ImagePart(url=URL)]),
        ResultPart(id="d", content=[*text("2")], error=True),
    ]
    items, omitted = write(Message("assistant", calls), Message("tool", results))

    assert items[2:] == [
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [
                {"type": "input_text", "text": "1"},
                {"type": "input_image", "image_url": URL, "detail": "auto"},
            ],
        },
        {"type": "custom_tool_call_output", "call_id": "d", "output": "2"},
    ]
    assert omitted == ["is_error"]


def test_what_only_this_dialect_says_goes_back_to_it() -> None:
    item = NativePart(raw=Raw(b'{"type":"item_reference","id":"i"}'), origin=NAME, kind="x")
    part = TextPart(text="a", extra={"y": Raw(b"1")})

    items, _ = write(Message("assistant", [item]), Message("user", [part, item]), origin=NAME)
    assert items[0] == {"type": "item_reference", "id": "i"}
    assert items[1]["content"] == [{"type": "input_text", "text": "a", "y": 1}, items[0]]


def test_cache_marks_and_names() -> None:
    marked = TextPart(text="a", cache="30m")
    mark = {"mode": "explicit", "ttl": "30m"}

    assert write(Message("user", [marked], "bob"))[1] == ["name", "cache_control"]
    [part] = user(marked, cache_marks="prompt_cache_breakpoint")
    assert part["prompt_cache_breakpoint"] == mark
    [part] = user(marked, origin=NAME)
    assert part["prompt_cache_breakpoint"] == mark
    assert write(Message("user", [marked]), cache_marks="cache_control")[1] == ["cache_control"]


def instructed(*messages: Message) -> tuple[str | None, int]:
    writer = InputWriter(
        Chat(model="m", messages=list(messages)), Omissions(NAME, reject=False), Quirks()
    )
    return writer.instructions(), len(writer.write())


def test_what_the_model_is_told_first_are_instructions() -> None:
    system, asked = Message("system", [*text("be")]), Message("user", [*text("hi")])

    assert instructed(system, asked) == ("be", 1)
    assert instructed(system, system, asked) == ("be", 2)
    assert instructed(asked, system) == (None, 2)
    assert instructed(system) == (None, 1)
    assert instructed(Message("system", [*text("a", "b")]), asked) == (None, 2)
    assert instructed(Message("system", [TextPart(text="a", cache="")]), asked) == (None, 2)


def test_system_messages_have_the_providers_role() -> None:
    system = Message("system", [*text("be")])

    assert write(system)[0][0]["role"] == "system"
    assert write(system, system_role="developer")[0][0]["role"] == "developer"
