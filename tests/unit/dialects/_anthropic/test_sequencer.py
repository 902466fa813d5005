"""Blocks stand one after the other, however events interleave."""

import json
from typing import Any

import pytest

from proxy.chat import Chat
from proxy.dialects._anthropic.sequencer import Block, Raw, Sequencer
from proxy.dialects._anthropic.wire import ORIGIN, encode
from proxy.event import (
    Arguments,
    Begin,
    Call,
    Citation,
    End,
    Event,
    Logprob,
    Logprobs,
    Media,
    Other,
    Refusal,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)


class Noted(Sequencer):
    """Notes what it is to write."""

    def __init__(self) -> None:
        super().__init__(Chat(model="asked", messages=[]))
        self.notes: list[Any] = []

    def _open(self, block: Block) -> None:
        self.notes.append(("open", json.loads(encode(block))))

    def _piece(self, text: str) -> None:
        self.notes.append(text)

    def _say(self, delta: Block | Raw) -> None:
        self.notes.append(("say", json.loads(encode(delta))))

    def _close(self) -> None:
        self.notes.append("close")

    def _stray(self, frame: bytes, kind: str) -> None:
        self.notes.append(("stray", kind))


def sequence(*events: Event) -> list[Any]:
    noted = Noted()
    for event in events:
        noted.take(event)
    noted.finish()
    return noted.notes


TEXT = ("open", {"type": "text", "text": ""})
THINKING = ("open", {"type": "thinking", "thinking": "", "signature": ""})


def use(id: str) -> Any:
    return ("open", {"type": "tool_use", "id": id, "name": "f", "input": {}})


def redacted(data: str) -> Any:
    return ("open", {"type": "redacted_thinking", "data": data})


def signature(value: str) -> Any:
    return ("say", {"type": "signature_delta", "signature": value})


def native(**members: Any) -> Other:
    return Other(json.dumps(members).encode(), ORIGIN)


def test_thinking_then_text_then_calls() -> None:
    assert sequence(
        Thinking("h"),
        Thinking("m"),
        Signature("s", ORIGIN),
        Text("a"),
        Text("b"),
        Call(0, "c", "f"),
        Arguments(0, '{"n":'),
        Arguments(0, "1}"),
        Call(1, "d", "f"),
        Arguments(1, "{}"),
        Stop("tool_calls"),
    ) == [
        *(THINKING, "h", "m", signature("s"), "close"),
        *(TEXT, "a", "b", "close"),
        *(use("c"), '{"n":', "1}", "close"),
        *(use("d"), "{}", "close"),
    ]


def test_interleaved_calls_are_told_one_after_the_other_and_the_open_one_at_once() -> None:
    noted = Noted()
    for event in (
        *(Call(0, "c", "f"), Call(1, "d", "f"), Arguments(1, '{"b"'), Arguments(0, '{"a":{}')),
        *(Arguments(1, ":2}"),),
    ):
        noted.take(event)
    assert noted.notes == [use("c"), '{"a":{}']

    noted.take(Arguments(0, "}"))
    assert noted.notes[1:] == ['{"a":{}', "}", "close", use("d"), '{"b"', ":2}"]
    noted.take(Stop("tool_calls"))
    assert noted.notes[-1] == "close"


def test_many_interleaved_calls_all_come_out() -> None:
    calls = [Call(n, f"c{n}", "f") for n in range(4)]
    halves = [Arguments(n, '{"n":') for n in range(4)]
    ends = [Arguments(n, f"{n}}}") for n in (3, 1, 0, 2)]

    told: list[Any] = []
    for n in range(4):
        told += [use(f"c{n}"), '{"n":', f"{n}}}", "close"]
    assert sequence(*calls, *halves, *ends, Stop("tool_calls")) == told


def test_calls_that_never_become_whole_come_out_at_the_end() -> None:
    assert sequence(
        *(Call(0, "c", "f"), Call(1, "d", "f"), Arguments(1, "{"), Text("a"), Call(2, "e", "f")),
        Stop("length"),
    ) == [
        *(use("c"), "close", use("d"), "{", "close", TEXT, "a", "close", use("e"), "close"),
    ]


def test_arguments_of_no_open_call_are_nothing() -> None:
    assert sequence(Arguments(0, "{}"), Text("a"), Arguments(3, "{}")) == [TEXT, "a", "close"]


def test_a_call_without_an_id_is_given_one() -> None:
    (_, block), _ = sequence(Call(0, "", "f"))

    assert block["id"].startswith("toolu_")


def test_thinking_without_a_signature_ends_where_something_else_begins() -> None:
    assert sequence(Thinking("h"), Text("a")) == [THINKING, "h", "close", TEXT, "a", "close"]


def test_a_signature_without_thinking_stands_alone() -> None:
    assert sequence(Text("a"), Signature("s", ORIGIN)) == [
        *(TEXT, "a", "close", THINKING, signature("s"), "close"),
    ]
    assert sequence(Thinking("h"), Signature("d", ORIGIN, redacted=True)) == [
        *(THINKING, "h", "close", redacted("d"), "close"),
    ]


def test_signatures_of_others_say_whose_they_are() -> None:
    assert sequence(Thinking("h"), Signature("s", "gemini"))[2] == signature("~gemini~s")
    assert sequence(Signature("d", "openai_responses", redacted=True))[0] == redacted(
        "~openai_responses~d"
    )


def test_what_a_provider_wants_back_with_a_call_stands_before_it() -> None:
    assert sequence(Call(0, "c", "f", signature="s", origin="gemini")) == [
        *(redacted("~gemini+call~s"), "close", use("c"), "close"),
    ]


def test_citations_stand_in_the_text_before_them() -> None:
    own = Citation(raw=b'{"type":"char_location"}', origin=ORIGIN)
    foreign = Citation(url="u", title="t", quote="q", raw=b"{}", origin="openai_chat")
    spelled = {
        "type": "web_search_result_location",
        "url": "u",
        "title": "t",
        "cited_text": "q",
        "encrypted_index": "",
    }

    assert sequence(Text("a"), own, foreign, Call(0, "c", "f"), Arguments(0, "{}"), own) == [
        *(TEXT, "a"),
        ("say", {"type": "citations_delta", "citation": {"type": "char_location"}}),
        ("say", {"type": "citations_delta", "citation": spelled}),
        *("close", use("c"), "{}", "close", TEXT),
        ("say", {"type": "citations_delta", "citation": {"type": "char_location"}}),
        "close",
    ]


def test_an_image_is_a_block_of_its_own() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}

    assert sequence(Text("a"), Media("image/png", "AAAA"), Text("b")) == [
        *(TEXT, "a", "close", ("open", {"type": "image", "source": source}), "close"),
        *(TEXT, "b", "close"),
    ]


def test_other_choices_and_log_probabilities_are_not_theirs() -> None:
    assert (
        sequence(
            *(Text("a", choice=1), Stop("length", choice=1), Call(0, "c", "f", choice=2)),
            *(Logprobs([Logprob("a", 0.0)]), End(), Other(b"{}", "gemini"), Other(b"{", ORIGIN)),
        )
        == []
    )


def test_own_blocks_are_said_again_and_split_texts_where_they_were_split() -> None:
    block = {"type": "server_tool_use", "id": "s", "input": {}}
    query = {"type": "input_json_delta", "partial_json": "{}"}

    assert sequence(
        Text("a"),
        native(type="content_block_stop", index=0),
        Text("b"),
        native(type="content_block_start", index=7, content_block=block),
        native(type="content_block_delta", index=7, delta=query),
        native(type="content_block_stop", index=7),
        native(type="content_block_stop", index=9),
        native(type="content_block_delta", index=9, delta=query),
        native(type="brand_new"),
    ) == [
        *(TEXT, "a", "close", TEXT, "b", "close"),
        *(("open", block), ("say", query), "close"),
        ("stray", "brand_new"),
    ]


def test_own_members_of_a_block_are_put_back() -> None:
    called = {"type": "tool_use", "id": "x", "name": "y", "caller": {"type": "direct"}}
    cited = {"type": "text", "text": "", "citations": []}

    assert sequence(
        native(type="content_block_start", content_block=called),
        *(Call(0, "c", "f"), Arguments(0, "{}")),
        native(type="content_block_start", content_block=cited),
        *(Text("a"), Call(1, "d", "f")),
    ) == [
        ("open", {**use("c")[1], "caller": {"type": "direct"}}),
        *("{}", "close", ("open", cited), "a", "close", use("d"), "close"),
    ]


def test_own_blocks_wait_for_an_open_call_too() -> None:
    block = {"type": "server_tool_use"}
    delta = {"type": "input_json_delta"}
    told = sequence(
        Call(0, "c", "f"),
        native(type="content_block_start", content_block=block),
        native(type="content_block_delta", delta=delta),
        native(type="content_block_stop"),
        Arguments(0, "{}"),
    )

    assert told == [use("c"), "{}", "close", ("open", block), ("say", delta), "close"]


def after(*events: Event) -> Noted:
    noted = Noted()
    for event in events:
        noted.take(event)
    noted.finish()
    return noted


def values(block: Block) -> Any:
    return json.loads(encode(block))


def test_the_message_has_the_providers_id_and_model_or_ones_of_ours() -> None:
    assert values(after(Begin(id="chatcmpl-1", model="m")).message()) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    ours = after().message()
    assert (ours["id"][:4], ours["model"]) == ("msg_", "asked")


@pytest.mark.parametrize(
    ("tier", "word"), [("default", "standard"), ("priority", "priority"), ("flex", None)]
)
def test_the_tier_is_told_where_they_have_a_word_for_it(tier: str, word: str | None) -> None:
    assert after(Begin(service_tier=tier)).message()["usage"].get("service_tier") == word


def test_own_members_of_the_message_stay_and_counts_are_the_events() -> None:
    head = {"id": "x", "container": {"id": "c"}, "usage": {"input_tokens": 9, "speed": "fast"}}
    message = after(
        Begin(id="i", model="m"), native(type="message_start", message=head), Used(Usage(3, 1))
    ).message()

    assert values(message) == {
        "id": "i",
        "container": {"id": "c"},
        "type": "message",
        "role": "assistant",
        "model": "m",
        "usage": {"input_tokens": 3, "speed": "fast", "output_tokens": 1},
    }


def test_own_members_that_are_not_what_they_should_be_are_passed_over() -> None:
    odd = after(
        native(type="message_start", message={"usage": None}),
        native(type="message_delta", delta=[], usage=3),
    )

    assert odd.message()["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert odd.ending()[0] == {"stop_reason": "end_turn", "stop_sequence": None}


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([], "end_turn"),
        ([Stop("stop")], "end_turn"),
        ([Stop("length")], "max_tokens"),
        ([Stop("context")], "model_context_window_exceeded"),
        ([Stop("filter")], "refusal"),
        ([Stop("refusal")], "refusal"),
        ([Stop("pause")], "pause_turn"),
        ([Stop("tool_calls")], "tool_use"),
        # Servers that say so little of calls and refusals are many, and clients go by the reason.
        ([Call(0, "c", "f"), Stop("stop", native="stop")], "tool_use"),
        ([Refusal("no"), Stop("stop")], "refusal"),
        ([Call(0, "c", "f"), Stop("length")], "max_tokens"),
        ([Stop("stop", native="brand_new")], "end_turn"),
        (
            [
                native(type="message_delta", delta={"stop_reason": "brand_new"}),
                Stop("stop", native="brand_new"),
            ],
            "brand_new",
        ),
        (
            [
                native(type="message_delta", delta={"stop_reason": "end_turn"}),
                Stop("length", native="length"),
            ],
            "max_tokens",
        ),
    ],
)
def test_the_stop_reason_is_theirs(events: list[Event], word: str) -> None:
    assert values(after(*events).ending()[0]) == {"stop_reason": word, "stop_sequence": None}


def test_the_ending_tells_the_sequence_and_the_last_usage() -> None:
    tail = {"delta": {"stop_details": None}, "usage": {"iterations": []}}
    delta, usage = after(
        Used(Usage(1, 1)),
        Stop("stop_sequence", sequence="x"),
        native(type="message_delta", **tail),
        Used(Usage(5, 6, 2, 3, 1)),
    ).ending()

    assert values(delta) == {
        "stop_details": None,
        "stop_reason": "stop_sequence",
        "stop_sequence": "x",
    }
    assert values(usage) == {
        "iterations": [],
        "input_tokens": 2,
        "cache_creation_input_tokens": 1,
        "cache_read_input_tokens": 2,
        "output_tokens": 6,
        "output_tokens_details": {"thinking_tokens": 3},
    }
