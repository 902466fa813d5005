"""Requests, read into chats."""

import json
from typing import Any

import msgspec
import pytest

from proxy.chat import Chat, Format, Message, Reasoning, TextPart, Tool, ToolChoice
from proxy.dialects._gemini.read import read_chat
from proxy.errors import BadRequest

HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def read(**fields: Any) -> Chat:
    return read_chat(json.dumps({"contents": HI, **fields}).encode(), "m")


def configured(**config: Any) -> Chat:
    return read(generationConfig=config)


def raws(found: dict[str, msgspec.Raw]) -> dict[str, Any]:
    return {name: msgspec.json.decode(raw) for name, raw in found.items()}


def test_a_request_says_the_least() -> None:
    assert read_chat(b'{"contents":{"parts":{"text":"hi"}}}', "m", stream=True, array=True) == Chat(
        model="m",
        messages=[Message("user", [TextPart(text="hi")])],
        stream=True,
        array=True,
        origin="gemini",
    )


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize(
    "instruction",
    [
        {"parts": [{"text": "be brief"}]},
        {"role": "system", "parts": {"text": "be brief"}},
        {"role": "model", "parts": [{"text": "be brief", "thought": False}]},
        "be brief",
    ],
)
def test_the_system_instruction_is_the_first_message(name: str, instruction: Any) -> None:
    assert read(**{name: instruction}).messages[0] == Message("system", [TextPart(text="be brief")])


@pytest.mark.parametrize("instruction", [None, "", {}, {"parts": []}])
def test_an_empty_one_is_none(instruction: Any) -> None:
    assert [message.role for message in read(systemInstruction=instruction).messages] == ["user"]


@pytest.mark.parametrize("fields", [{}, {"contents": []}, {"contents": [{"parts": [{}]}]}])
def test_contents_must_say_something(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="`contents`") as raised:
        read_chat(json.dumps(fields).encode(), "m")
    assert raised.value.param == "contents"


def test_generation_config() -> None:
    chat = configured(
        temperature=0.5,
        top_p=1,
        topK=40,
        candidateCount=2,
        maxOutputTokens="100",
        stopSequences=["x"],
        seed=7,
        presencePenalty=0.1,
        frequencyPenalty=-0.1,
        responseLogprobs=True,
        logprobs=3,
        thinkingConfig={"includeThoughts": True, "thinkingBudget": 1024},
        mediaResolution="MEDIA_RESOLUTION_LOW",
    )

    assert (chat.temperature, chat.top_p, chat.top_k, chat.n) == (0.5, 1.0, 40.0, 2)
    assert (chat.max_tokens, chat.stop, chat.seed) == (100, ["x"], 7)
    assert (chat.presence_penalty, chat.frequency_penalty) == (0.1, -0.1)
    assert (chat.logprobs, chat.top_logprobs) == (True, 3)
    assert chat.reasoning == Reasoning(budget=1024, show=True)
    assert raws(chat.extra) == {"generationConfig.mediaResolution": "MEDIA_RESOLUTION_LOW"}
    assert chat.native == []


@pytest.mark.parametrize(
    ("level", "effort"),
    [
        ("MINIMAL", "minimal"),
        ("low", "low"),
        ("XHIGH", "xhigh"),
        (2, "high"),
        ("THINKING_LEVEL_UNSPECIFIED", None),
    ],
)
def test_a_thinking_level_is_an_effort(level: Any, effort: str | None) -> None:
    chat = configured(thinkingConfig={"thinkingLevel": level})

    assert chat.reasoning == Reasoning(effort=effort)


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        ({"responseMimeType": "application/json"}, None),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "STRING"}},
            {"type": "STRING"},
        ),
        (
            {"response_mime_type": "application/json", "response_schema": {"type": "STRING"}},
            {"type": "string"},
        ),
        ({"responseSchema": {"type": "OBJECT", "nullable": True}}, {"type": ["object", "null"]}),
        ({"_responseJsonSchema": {"type": "object"}}, {"type": "object"}),
    ],
)
def test_the_format_of_an_answer(config: dict[str, Any], schema: Any) -> None:
    found = configured(**config).format

    assert isinstance(found, Format)
    assert (None if found.schema is None else msgspec.json.decode(found.schema)) == schema


def test_a_format_that_is_plain_text_is_none() -> None:
    chat = configured(responseMimeType="text/plain")

    assert (chat.format, chat.native, chat.extra) == (None, [], {})


def test_what_others_cannot_answer_with_is_native() -> None:
    enum = {"type": "STRING", "enum": ["a"]}
    chat = configured(responseMimeType="text/x.enum", responseSchema=enum)

    assert chat.format is None
    assert chat.native == ["generationConfig.responseMimeType", "generationConfig.responseSchema"]
    assert raws(chat.extra)["generationConfig.responseSchema"] == enum

    chat = configured(responseModalities=["text", 2], imageConfig={"aspectRatio": "1:1"})
    assert chat.native == ["generationConfig.responseModalities", "generationConfig.imageConfig"]
    assert raws(chat.extra)["generationConfig.responseModalities"] == ["TEXT", "IMAGE"]


@pytest.mark.parametrize("modalities", [["TEXT"], [1], ["Text"], [], None])
def test_text_is_what_everybody_answers_with(modalities: Any) -> None:
    chat = configured(responseModalities=modalities)

    assert (chat.native, chat.extra) == ([], {})


def test_tools() -> None:
    schema = {"type": "object", "properties": {}}
    chat = read(
        tools=[
            {
                "functionDeclarations": [
                    {"name": "f", "description": "does", "parametersJsonSchema": schema},
                    {"name": "g", "parameters": {"type": "OBJECT"}, "behavior": "BLOCKING"},
                    {"name": "h"},
                ],
                "googleSearch": {},
            },
            {"code_execution": {}},
        ]
    )
    f, g, h, search, code = chat.tools

    assert (f.name, f.description) == ("f", "does")
    assert msgspec.json.decode(f.schema or b"") == schema
    assert msgspec.json.decode(g.schema or b"") == {"type": "object"}
    assert raws(g.extra) == {"behavior": "BLOCKING"}
    assert h == Tool(name="h")
    assert (search.name, search.origin) == ("googleSearch", "gemini")
    assert msgspec.json.decode(search.native or b"") == {"googleSearch": {}}
    assert msgspec.json.decode(code.native or b"") == {"codeExecution": {}}


def choose(**calling: Any) -> Chat:
    return read(
        tools=[{"functionDeclarations": [{"name": "f"}, {"name": "g"}], "googleSearch": {}}],
        toolConfig={"functionCallingConfig": calling},
    )


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({}, ToolChoice("auto")),
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "auto"}, ToolChoice("auto")),
        ({"mode": 1}, ToolChoice("auto")),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        (
            {"mode": "ANY", "allowed_function_names": ["f"]},
            ToolChoice("named", ["f"]),
        ),
    ],
)
def test_tool_choice(calling: dict[str, Any], choice: ToolChoice) -> None:
    chat = choose(**calling)

    assert chat.tool_choice == choice
    assert [tool.strict for tool in chat.tools] == [None] * 3


def test_validated_calls_are_strict() -> None:
    chat = choose(mode="VALIDATED", allowedFunctionNames=["g"])

    assert chat.tool_choice == ToolChoice("auto", ["g"])
    assert [(tool.name, tool.strict) for tool in chat.tools] == [
        ("f", True),
        ("g", True),
        ("googleSearch", None),
    ]


def test_what_else_is_configured_of_tools_is_a_hint() -> None:
    chat = read(
        toolConfig={
            "functionCallingConfig": {"streamFunctionCallArguments": True},
            "retrievalConfig": {"languageCode": "en"},
        }
    )

    assert raws(chat.extra) == {
        "toolConfig.functionCallingConfig.streamFunctionCallArguments": True,
        "toolConfig.retrievalConfig": {"languageCode": "en"},
    }


@pytest.mark.parametrize(
    ("tier", "neutral"),
    [("standard", "default"), ("FLEX", "flex"), ("unspecified", None), (None, None)],
)
def test_service_tiers_have_openais_names(tier: str | None, neutral: str | None) -> None:
    assert read(serviceTier=tier).service_tier == neutral


def test_unknown_fields_are_hints_and_a_cache_is_not() -> None:
    chat = read(model="models/x", labels={"a": "b"}, cachedContent="cachedContents/1", new=None)

    assert raws(chat.extra) == {"labels": {"a": "b"}, "cachedContent": "cachedContents/1"}
    assert chat.native == ["cachedContent"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"generationConfig": 1}, "generationConfig"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"maxOutputTokens": 1.5}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences"),
        (
            {"generationConfig": {"responseModalities": "TEXT"}},
            "generationConfig.responseModalities",
        ),
        ({"generationConfig": {"responseModalities": [{}]}}, "generationConfig.responseModalities"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": 1}]}]},
            "tools[0].functionDeclarations[0].parameters",
        ),
        (
            {"toolConfig": {"functionCallingConfig": {"mode": "MUST"}}},
            "toolConfig.functionCallingConfig.mode",
        ),
        ({"systemInstruction": 7}, "systemInstruction"),
        ({"contents": ["x"]}, "contents[0]"),
    ],
)
def test_an_error_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    assert raised.value.param == param
