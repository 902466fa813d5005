"""Chats, rendered into requests."""

import json
from typing import Any

import msgspec
import pytest

from proxy.chat import (
    AudioPart,
    CallPart,
    Chat,
    FilePart,
    Format,
    ImagePart,
    Message,
    NativePart,
    Omissions,
    Part,
    Quirks,
    Reasoning,
    RefusalPart,
    Rendering,
    ResultPart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolChoice,
)
from proxy.dialects._gemini.render import render_chat
from proxy.errors import BadRequest, Unsupported

Raw = msgspec.Raw
HI = Message("user", [TextPart(text="hi")])


def render(
    chat: Chat,
    model: str = "gemini-2.5-pro",
    *,
    refuses: tuple[str, ...] = (),
    reject: bool = False,
) -> tuple[Any, list[str]]:
    omissions = Omissions("gemini", reject=reject)
    rendering = Rendering(model=model, omissions=omissions, quirks=Quirks(refuses=refuses))
    body = msgspec.json.encode(render_chat(chat, rendering))
    return json.loads(body), omissions.names


def asking(*messages: Message, **fields: Any) -> Chat:
    return Chat(model="m", messages=list(messages) or [HI], **fields)


def contents(*messages: Message, model: str = "gemini-2.5-pro", **fields: Any) -> Any:
    return render(asking(*messages, **fields), model)[0]["contents"]


def user(*parts: Part) -> Message:
    return Message("user", list(parts))


def model(*parts: Part) -> Message:
    return Message("assistant", list(parts))


def system(text: str) -> Message:
    return Message("system", [TextPart(text=text)])


def text(said: str) -> TextPart:
    return TextPart(text=said)


def test_a_chat_that_says_the_least() -> None:
    assert render(asking()) == (
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        [],
    )


def test_neighbours_of_one_role_are_one_content() -> None:
    assert contents(user(text("a")), user(text("b")), model(text("c")), model(text("d")), HI) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "hi"}]},
    ]


def test_what_says_nothing_is_left_out() -> None:
    """Trap 12: null and empty contents."""
    assert contents(HI, model(), model(text("")), HI) == [
        {"role": "user", "parts": [{"text": "hi"}, {"text": "hi"}]}
    ]


def test_leading_system_messages_are_the_instruction_and_later_ones_the_users() -> None:
    body, _ = render(asking(system("a"), system("b"), HI, system("c"), model(text("d"))))

    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}, {"text": "c"}]},
        {"role": "model", "parts": [{"text": "d"}]},
    ]


def test_a_chat_of_system_messages_alone_is_the_users() -> None:
    assert render(asking(system("a")))[0] == {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}]
    }


def test_an_instruction_is_text() -> None:
    image = ImagePart(data="QQ==", media_type="image/png")
    with pytest.raises(Unsupported, match="a system message that is not text"):
        render(asking(Message("system", [image]), HI))


def called(name: str, identity: str, arguments: str = "{}", **more: Any) -> CallPart:
    return CallPart(id=identity, name=name, arguments=arguments, **more)


def answered(identity: str, said: str, **more: Any) -> Message:
    return Message("tool", [ResultPart(id=identity, content=[text(said)], **more)])


def test_calls_and_their_answers() -> None:
    """Answers stand together, first, in the order of their calls, each with its name."""
    found = contents(
        HI,
        model(text("let me see"), called("f", "1", '{"x": 1.50}'), called("g", "2", "")),
        answered("2", "two"),
        user(text("go on")),
        answered("1", '{"a":  1.50}'),
    )

    assert found[1]["parts"] == [
        {"text": "let me see"},
        {"functionCall": {"name": "f", "args": {"x": 1.5}, "id": "1"}},
        {"functionCall": {"name": "g", "args": {}, "id": "2"}},
    ]
    assert found[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "f", "response": {"a": 1.5}, "id": "1"}},
            {"functionResponse": {"name": "g", "response": {"output": "two"}, "id": "2"}},
            {"text": "go on"},
        ],
    }


def test_nested_json_is_not_spelled_anew() -> None:
    chat = asking(
        HI,
        model(called("f", "1", '{"x":  1.50}')),
        answered("1", '{"y":  2.50}'),
        tools=[Tool(name="f", schema=Raw(b'{"minimum":  1.0e400}'))],
    )
    omissions = Omissions("gemini", reject=False)
    body = msgspec.json.encode(render_chat(chat, Rendering(model="m", omissions=omissions)))

    for raw in (b'{"x":  1.50}', b'{"y":  2.50}', b'{"minimum":  1.0e400}'):
        assert raw in body


def test_an_answer_that_is_an_error_says_so() -> None:
    found = contents(
        HI,
        model(called("f", "1"), called("f", "2")),
        answered("1", "no", error=True),
        answered("2", '{"code":1}', error=True),
    )
    said = [part["functionResponse"]["response"] for part in found[2]["parts"]]

    assert said == [{"error": "no"}, {"error": {"code": 1}}]


def test_an_answer_to_no_call_is_refused() -> None:
    with pytest.raises(BadRequest, match="the result 9 answers no call of this chat"):
        render(asking(HI, answered("9", "x")))
    said = contents(HI, answered("9", "x", name="f"))[0]["parts"][1]
    assert said["functionResponse"]["name"] == "f"


@pytest.mark.parametrize("arguments", ["[1]", "{", "null", '"x"', '{"a":1}}'])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(Unsupported, match="the arguments of the call `1` of `f`, no JSON object"):
        render(asking(HI, model(called("f", "1", arguments))))


IMAGE = ImagePart(data="QQ==", media_type="image/png")
BLOB = {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}


def test_an_image_that_a_tool_answers_stands_in_the_answer_or_after_it() -> None:
    """Models before Gemini 3 know no media in an answer."""
    result = Message("tool", [ResultPart(id="1", content=[text("x"), IMAGE])])
    answer = {"name": "f", "response": {"output": "x"}, "id": "1"}
    new = contents(HI, model(called("f", "1")), result, model="gemini-3-pro")
    old = contents(HI, model(called("f", "1")), result, HI, model="gemini-2.5-flash")

    assert new[2]["parts"] == [{"functionResponse": {**answer, "parts": [BLOB]}}]
    assert old[2]["parts"] == [{"functionResponse": answer}, BLOB, {"text": "hi"}]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (IMAGE, BLOB),
        (
            ImagePart(url="https://example.com/a.png?x=1"),
            {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png?x=1"}},
        ),
        (
            ImagePart(url="https://example.com/a"),
            {"fileData": {"fileUri": "https://example.com/a"}},
        ),
        (
            AudioPart(data="QQ==", media_type="audio/wav"),
            {"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}},
        ),
        (
            FilePart(data="QQ==", name="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}},
        ),
        (FilePart(text="words", name="a.txt"), {"text": "words"}),
        (
            FilePart(file_id="gs://b/a.pdf", origin="gemini"),
            {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/a.pdf"}},
        ),
        (RefusalPart(text="no"), {"text": "no"}),
    ],
)
def test_parts(part: Part, said: dict[str, Any]) -> None:
    """URLs are Gemini's to fetch, never ours."""
    assert contents(user(part)) == [{"role": "user", "parts": [said]}]


def test_what_cannot_be_carried_is_refused() -> None:
    kept = ImagePart(file_id="file-1", origin="openai_chat")
    with pytest.raises(Unsupported, match="a file that openai_chat keeps"):
        contents(user(kept))
    with pytest.raises(BadRequest, match="a file must say of what type it is"):
        contents(user(FilePart(data="QQ==")))
    with pytest.raises(Unsupported, match="the call of the custom tool `f`"):
        contents(HI, model(called("f", "1", "free", custom=True)))
    with pytest.raises(Unsupported, match="the custom tool `f`"):
        render(asking(tools=[Tool(name="f", custom=True)]))
    with pytest.raises(Unsupported, match="content of this kind"):
        contents(HI, Message("tool", [ResultPart(id="1", name="f", content=[called("f", "1")])]))


def test_a_detail_is_a_hint() -> None:
    image = ImagePart(data="QQ==", media_type="image/png", detail="high")

    assert render(asking(user(image)))[1] == ["detail"]
    image.detail = "auto"
    assert render(asking(user(image)))[1] == []


def test_thoughts_go_back_to_who_thought_them() -> None:
    """Trap 20."""
    chat = asking(
        HI,
        model(
            ThinkingPart(text="hm", signature="QQ==", origin="gemini"),
            ThinkingPart(text="theirs", signature="s", origin="anthropic_messages"),
            text("so"),
            ThinkingPart(signature="Qg==", origin="gemini"),
            ThinkingPart(signature="Qw==", origin="gemini"),
            called("f", "1", signature="RA==", origin="gemini"),
            ThinkingPart(signature="RQ==", origin="gemini"),
            called("g", "2", signature="x", origin="openai_responses"),
        ),
    )
    body, omitted = render(chat)

    assert omitted == ["reasoning"]
    assert body["contents"][1]["parts"] == [
        {"text": "hm", "thought": True, "thoughtSignature": "QQ=="},
        {"text": "so", "thoughtSignature": "Qg=="},
        {"text": "", "thoughtSignature": "Qw=="},
        {"functionCall": {"name": "f", "args": {}, "id": "1"}, "thoughtSignature": "RA=="},
        {"text": "", "thoughtSignature": "RQ=="},
        {"functionCall": {"name": "g", "args": {}, "id": "2"}},
    ]


def test_a_call_that_another_model_made_is_let_pass() -> None:
    """From Gemini 3 on, the first call of a turn must be signed."""
    turn = model(called("f", "1"), called("g", "2"))
    signed = contents(HI, turn, model="gemini-3-pro")[1]["parts"]
    unsigned = contents(HI, turn, model="gemini-2.5-pro")[1]["parts"]

    assert [part.get("thoughtSignature") for part in signed] == [
        "skip_thought_signature_validator",
        None,
    ]
    assert [part.get("thoughtSignature") for part in unsigned] == [None, None]


def test_tools() -> None:
    schema = Raw(b'{"type":"object","additionalProperties":false}')
    body, _ = render(
        asking(
            tools=[
                Tool(name="f", description="does", schema=schema),
                Tool(name="g"),
                Tool(name="s", native=Raw(b'{"googleSearch":{}}'), origin="gemini"),
            ],
            origin="gemini",
        )
    )

    assert body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "does",
                    "parametersJsonSchema": {"type": "object", "additionalProperties": False},
                },
                {"name": "g"},
            ]
        },
        {"googleSearch": {}},
    ]


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("auto", ["f"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("named", ["f"]), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: ToolChoice, calling: dict[str, Any]) -> None:
    body, _ = render(asking(tool_choice=choice))

    assert body["toolConfig"] == {"functionCallingConfig": calling}


def test_strict_tools_are_validated() -> None:
    tools = [Tool(name="f", strict=True)]

    for choice in (None, ToolChoice("auto")):
        body, _ = render(asking(tools=tools, tool_choice=choice))
        assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    body, _ = render(asking(tools=tools, tool_choice=ToolChoice("required")))
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_generation_config() -> None:
    body, omitted = render(
        asking(
            temperature=0.5,
            top_p=0.9,
            top_k=40.0,
            n=2,
            max_tokens=100,
            stop=["x"],
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=-0.1,
            logprobs=True,
            top_logprobs=3,
            format=Format(schema=Raw(b'{"type":"object"}'), name="n", strict=True),
        )
    )

    assert omitted == []
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 2,
        "maxOutputTokens": 100,
        "stopSequences": ["x"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.1,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }


def test_any_json_is_a_format() -> None:
    body, _ = render(asking(format=Format()))

    assert body["generationConfig"] == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("reasoning", "old", "new"),
    [
        (Reasoning(effort="none"), {"thinkingBudget": 0}, {"thinkingLevel": "MINIMAL"}),
        (Reasoning(effort="low"), {"thinkingBudget": 2048}, {"thinkingLevel": "LOW"}),
        (Reasoning(effort="max"), {"thinkingBudget": 24576}, {"thinkingLevel": "XHIGH"}),
        (Reasoning(budget=-1), {"thinkingBudget": -1}, {"thinkingBudget": -1}),
        (
            Reasoning(effort="high", budget=512, show=False),
            {"thinkingBudget": 512, "includeThoughts": False},
            {"thinkingBudget": 512, "includeThoughts": False},
        ),
        (Reasoning(show=True), {"includeThoughts": True}, {"includeThoughts": True}),
    ],
)
def test_thinking_is_a_budget_or_a_level(
    reasoning: Reasoning, old: dict[str, Any], new: dict[str, Any]
) -> None:
    for name, config in (("gemini-2.5-flash", old), ("gemini-3-pro", new), ("mine", new)):
        body, _ = render(asking(reasoning=reasoning), name)
        assert body["generationConfig"] == {"thinkingConfig": config}


def test_thinking_that_says_nothing_is_left_out() -> None:
    assert "generationConfig" not in render(asking(reasoning=Reasoning()))[0]


@pytest.mark.parametrize(
    ("tier", "said", "omitted"),
    [
        ("default", "standard", []),
        ("flex", "flex", []),
        ("priority", "priority", []),
        ("auto", None, []),
        ("scale", None, ["service_tier"]),
    ],
)
def test_service_tiers(tier: str, said: str | None, omitted: list[str]) -> None:
    body, names = render(asking(service_tier=tier))

    assert (body.get("serviceTier"), names) == (said, omitted)


def test_hints_that_there_is_no_word_for_are_named() -> None:
    chat = asking(
        Message("user", [text("hi")], name="ann"),
        parallel_tools=False,
        logit_bias=Raw(b'{"1":2}'),
        user="u",
        metadata={"a": "b"},
        cache_key="k",
        extra={"store": Raw(b"true")},
        origin="openai_chat",
    )

    assert render(chat)[1] == [
        *("store", "name", "parallel_tools", "logit_bias", "user", "metadata", "cache_key"),
    ]
    with pytest.raises(Unsupported, match="`store` cannot be carried to a provider of gemini"):
        render(chat, reject=True)


def test_what_a_provider_refuses_is_left_out() -> None:
    chat = asking(seed=1, stop=["x"], temperature=0.5)
    body, omitted = render(chat, refuses=("seed", "stop", "top_k", "logit_bias"))

    assert body["generationConfig"] == {"temperature": 0.5}
    assert omitted == ["seed", "stop"]
    assert chat.seed == 1


def test_what_only_another_dialect_says_is_refused() -> None:
    native = NativePart(raw=Raw(b"{}"), origin="openai_responses", kind="web_search_call")
    with pytest.raises(Unsupported, match="content of the type `web_search_call`"):
        render(asking(user(native), origin="openai_responses"))
    with pytest.raises(Unsupported, match="`previous_response_id`"):
        render(asking(native=["previous_response_id"], origin="openai_responses"))


def test_what_it_says_itself_goes_back_to_its_place() -> None:
    native = NativePart(raw=Raw(b'{"executableCode":{"code":"1"}}'), origin="gemini", kind="x")
    image = ImagePart(data="QQ==", media_type="image/png", detail="high")
    image.extra = {"mediaResolution": Raw(b'{"level":"H"}'), "displayName": Raw(b'"a"')}
    body, omitted = render(
        asking(
            user(text("hi"), image),
            model(native),
            temperature=1.0,
            reasoning=Reasoning(show=True),
            tool_choice=ToolChoice("auto"),
            extra={
                "labels": Raw(b'{"a":"b"}'),
                "generationConfig.mediaResolution": Raw(b'"LOW"'),
                "generationConfig.thinkingConfig.new": Raw(b"1"),
                "toolConfig.retrievalConfig": Raw(b"{}"),
            },
            native=["cachedContent"],
            origin="gemini",
        )
    )

    assert omitted == []
    assert body == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "hi"},
                    {
                        "inlineData": {
                            "mimeType": "image/png",
                            "displayName": "a",
                            "data": "QQ==",
                        },
                        "mediaResolution": {"level": "H"},
                    },
                ],
            },
            {"role": "model", "parts": [{"executableCode": {"code": "1"}}]},
        ],
        "labels": {"a": "b"},
        "generationConfig": {
            "mediaResolution": "LOW",
            "thinkingConfig": {"new": 1, "includeThoughts": True},
            "temperature": 1.0,
        },
        "toolConfig": {"retrievalConfig": {}, "functionCallingConfig": {"mode": "AUTO"}},
    }
