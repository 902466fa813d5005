"""Gemini: the contract, Google's SDK as the client, and recorded traffic."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from proxy.chat import (
    CallPart,
    Chat,
    Format,
    Message,
    Omissions,
    Reasoning,
    Rendering,
    ResultPart,
    TextPart,
    ThinkingPart,
    ToolChoice,
)
from proxy.dialects.gemini import GeminiGenerate
from proxy.errors import BadResponse, ProviderOverloaded, Unsupported
from proxy.event import (
    Arguments,
    Begin,
    Call,
    End,
    Event,
    Failure,
    Media,
    Signature,
    Stop,
    Text,
    Thinking,
    Usage,
    Used,
)
from proxy.testing import check_dialect
from proxy.testing.cuts import cuts
from tests.recorded import Recorded, recordings

GEMINI = GeminiGenerate()
PATH = "/v1beta/models/m:streamGenerateContent"
STREAM = (
    b'data: {"candidates":[{"content":{"role":"model","parts":'
    b'[{"text":"\\"usageMetadata\\":{} \xf0\x9f\x98\x80"}]}}]}\r\n\r\n'
    b'data: {"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,'
    b'"candidatesTokenCount":4,"totalTokenCount":7}}\r\n\r\n'
)
HELLO: list[Event] = [
    Begin("r1", "gemini-x"),
    Thinking("hm", summary=True),
    Text("Hel"),
    Text("lo"),
    Used(Usage(3, 6, 1, 2)),
    Stop("stop", "end_turn"),
    End(),
]


def test_it_keeps_the_contract_of_dialects() -> None:
    requests = [b'{"contents":[{"parts":[{"text":"hi"}]}]}', b'{"model":"models/m","contents":[]}']
    check_dialect(GEMINI, requests, [STREAM, STREAM.replace(b"\r\n", b"\n")])


def test_it_is_the_generate_endpoint_of_the_family() -> None:
    assert (GEMINI.name, GEMINI.family, GEMINI.path, GEMINI.operation, GEMINI.form) == (
        *("gemini", "gemini", "/v1beta/models/{model}:generateContent"),
        *("generate_content", "chat"),
    )
    for template in (GEMINI.path, GEMINI.stream_path, *GEMINI.aliases):
        path = template.replace("{model}", "x")
        assert GEMINI.parse(b"{}", path).model is not None
        assert GEMINI.parse(b"{}", path).stream is ("stream" in path)


def test_a_system_prompt_comes_before_the_requests_own() -> None:
    raw = b'{"system_instruction":{"parts":[ {"text": "own"} ]},"contents":[ 1 ]}'
    request = GEMINI.parse(raw, PATH)
    GEMINI.add_system(request, "é\n")

    assert (
        request.body()
        == (
            '{"system_instruction":{"parts":[{"text":"é\\n"},{"text": "own"}]},"contents":[ 1 ]}'
        ).encode()
    )


@pytest.mark.parametrize(
    ("path", "query", "array", "kind"),
    [
        (PATH, "alt=sse", False, b"text/event-stream; charset=utf-8"),
        (PATH, "key=k&alt=sse", False, b"text/event-stream; charset=utf-8"),
        (PATH, "", True, b"application/json"),
        (PATH, "%24alt=json%3Benum-encoding%3Dint", True, b"application/json"),
        ("/v1/models/m:generateContent", "alt=sse", False, b"application/json"),
    ],
)
def test_a_stream_is_an_array_unless_the_query_asks_for_events(
    path: str, query: str, array: bool, kind: bytes
) -> None:
    chat = GEMINI.read(GEMINI.parse(b'{"contents":{"parts":{"text":"hi"}}}', path, query))

    assert chat.array is array
    assert GEMINI.content_type(chat, stream=chat.stream) == kind


# Google's SDK asks; what it says is read, and what it is answered is encoded, by the dialect.

Answer = Callable[[Chat], list[Event]]


def sdk(answer: Answer, asked: list[Chat], *, error: Exception | None = None) -> genai.Client:
    """A client of Google's SDK, whose every request is answered with the events of `answer`."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        parsed = GEMINI.parse(request.read(), path, query)
        chat = GEMINI.read(parsed)
        asked.append(chat)
        events = answer(chat)
        kind = GEMINI.content_type(chat, stream=chat.stream).decode()
        if not chat.stream:
            return httpx2.Response(
                200, headers={"content-type": kind}, content=GEMINI.encode(chat, events)
            )
        return httpx2.Response(200, headers={"content-type": kind}, stream=Body(chat, events))

    class Body(httpx2.SyncByteStream):
        def __init__(self, chat: Chat, events: list[Event]) -> None:
            self.chat, self.events = chat, events

        def __iter__(self) -> Iterator[bytes]:
            encoder = GEMINI.encoder(self.chat)
            for event in self.events:
                if isinstance(event, Failure):
                    yield GEMINI.error_event(event.error)
                    return
                yield encoder.feed([event])
            yield encoder.close()

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    return genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=transport))


def always(*events: Event) -> Answer:
    return lambda chat: list(events)


def test_the_sdk_reads_a_whole_response() -> None:
    asked: list[Chat] = []
    found = sdk(always(*HELLO), asked).models.generate_content(model="gemini-x", contents="hi")

    assert asked == [
        Chat(model="gemini-x", messages=[Message("user", [TextPart(text="hi")])], origin="gemini")
    ]
    assert found.text == "Hello"
    assert found.response_id == "r1"
    assert found.candidates is not None
    assert found.candidates[0].finish_reason == types.FinishReason.STOP
    usage = found.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count) == (3, 4)
    assert (usage.thoughts_token_count, usage.cached_content_token_count) == (2, 1)


def test_the_sdk_reads_a_stream() -> None:
    asked: list[Chat] = []
    client = sdk(always(*HELLO), asked)
    chunks = list(client.models.generate_content_stream(model="gemini-x", contents="hi"))

    assert (asked[0].stream, asked[0].array) == (True, False)
    assert [chunk.text for chunk in chunks] == [None, "Hel", "lo", ""]
    assert {chunk.model_version for chunk in chunks} == {"gemini-x"}
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert usage.total_token_count == 9


def test_the_sdk_says_everything() -> None:
    asked: list[Chat] = []
    sdk(always(*HELLO), asked).models.generate_content(
        model="gemini-x",
        contents=[
            types.Content(
                role="user", parts=[types.Part.from_bytes(data=b"\xff\xfb", mime_type="image/png")]
            ),
            types.Content(
                role="model",
                parts=[
                    types.Part(text="a", thought=True),
                    types.Part(text="b", thought_signature=b"\xff\xfe"),
                ],
            ),
            types.Content(role="user", parts=[types.Part.from_text(text="c")]),
        ],
        config=types.GenerateContentConfig(
            system_instruction="be brief",
            temperature=0.5,
            max_output_tokens=9,
            stop_sequences=["x"],
            thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
            response_mime_type="application/json",
            response_json_schema={"type": "object"},
            tools=[
                types.Tool(
                    function_declarations=[
                        types.FunctionDeclaration(
                            name="f",
                            parameters=types.Schema(type=types.Type.OBJECT),
                        )
                    ]
                )
            ],
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(
                    mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["f"]
                )
            ),
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                    threshold=types.HarmBlockThreshold.BLOCK_NONE,
                )
            ],
        ),
    )
    (chat,) = asked
    system, image, said, last = chat.messages

    assert system == Message("system", [TextPart(text="be brief")])
    assert image.parts[0].data == "//s="  # type: ignore[attr-defined]
    assert said.parts == [
        ThinkingPart(text="a", origin="gemini"),
        TextPart(text="b"),
        ThinkingPart(signature="//4=", origin="gemini"),
    ]
    assert last == Message("user", [TextPart(text="c")])
    assert (chat.temperature, chat.max_tokens, chat.stop) == (0.5, 9, ["x"])
    assert chat.reasoning == Reasoning(effort="low")
    assert isinstance(chat.format, Format)
    assert bytes(chat.format.schema or b"") == b'{"type": "object"}'
    assert bytes(chat.tools[0].schema or b"") == b'{"type":"object"}'
    assert chat.tool_choice == ToolChoice("named", ["f"])
    assert list(chat.extra) == ["safetySettings"]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: sunny"


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_of_the_sdk_calls_tools_and_remembers(stream: bool) -> None:
    """It answers the call itself, sends the signature back, and forgets no turn."""

    def answer(chat: Chat) -> list[Event]:
        if chat.messages[-1].role == "tool":
            return [Begin(), Text("It is "), Text("sunny."), Stop("stop"), End()]
        return [
            Begin(),
            Thinking("hm"),
            Signature("sig/1", "anthropic_messages"),
            Text("Let me see."),
            Call(0, "call_1", "get_weather"),
            Arguments(0, '{"city":'),
            Arguments(0, '"Rome"}'),
            Stop("tool_calls"),
            End(),
        ]

    asked: list[Chat] = []
    chat = sdk(answer, asked).chats.create(
        model="gemini-x", config=types.GenerateContentConfig(tools=[get_weather])
    )
    for _ in range(2):
        if stream:
            text = "".join(chunk.text or "" for chunk in chat.send_message_stream("weather?"))
        else:
            text = chat.send_message("weather?").text or ""
        assert text.endswith("It is sunny.")

    user, turn, result, *rest = asked[-1].messages
    assert [message.role for message in rest] == ["assistant", "user", "assistant", "tool"]
    assert user.parts == [TextPart(text="weather?")]
    thought, said, call = turn.parts
    assert thought == ThinkingPart(text="hm", signature="sig/1", origin="anthropic_messages")
    assert said == TextPart(text="Let me see.")
    assert call == CallPart(id="call_1", name="get_weather", arguments='{"city": "Rome"}')
    (answered,) = result.parts
    assert isinstance(answered, ResultPart)
    assert (answered.id, answered.name) == ("call_1", "get_weather")
    assert answered.content == [TextPart(text='{"result": "Rome: sunny"}')]
    assert rest[0].parts == [TextPart(text="It is sunny.")]


def test_the_sdk_sees_images_and_several_candidates() -> None:
    found = sdk(
        always(
            Begin(),
            Text("a"),
            Media("image/png", "//s="),
            Text("b", 1),
            Stop("stop"),
            Stop("length", choice=1),
            End(),
        ),
        [],
    ).models.generate_content(model="gemini-x", contents="hi")
    first, second = found.candidates or []

    assert first.content is not None
    assert first.content.parts is not None
    blob = first.content.parts[1].inline_data
    assert blob is not None
    assert (blob.data, blob.mime_type) == (b"\xff\xfb", "image/png")
    assert second.finish_reason == types.FinishReason.MAX_TOKENS


def test_the_sdk_raises_what_went_wrong_in_a_stream() -> None:
    """Trap 13."""
    failing = always(Begin(), Text("a"), Failure(ProviderOverloaded("busy")))
    stream = sdk(failing, []).models.generate_content_stream(model="gemini-x", contents="hi")

    assert next(stream).text == "a"
    with pytest.raises(errors.APIError) as raised:
        next(stream)
    assert (raised.value.code, raised.value.status, raised.value.message) == (
        *(503, "UNAVAILABLE", "busy"),
    )


@pytest.mark.parametrize("first", [True, False])
def test_an_array_that_went_wrong_ends_in_an_error(first: bool) -> None:
    """Trap 13, of the form that is no stream of events: it is JSON, and it is heard."""
    before = b"" if first else b'[{"candidates": []}'
    whole = before + GEMINI.error_element(ProviderOverloaded("busy"), first=first)

    assert json.loads(whole)[-1]["error"]["message"] == "busy"
    for cut in (whole, whole + b"\n", whole[len(before) :]):
        told = GEMINI.failure(cut)
        assert (type(told), str(told)) == (ProviderOverloaded, "busy")


def test_an_array_is_read_where_events_were_asked_for() -> None:
    answer = b'{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}'

    assert GEMINI.decode(b" \n[%b]" % answer) == GEMINI.decode(answer)
    for body in (b"[", b"[]", b"[%b" % answer):
        with pytest.raises(BadResponse):
            GEMINI.decode(body)


@pytest.mark.parametrize(
    "end",
    [
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"error": {}}}}]}}]}]',
        b'{"candidates":[{"content":{"parts":[{"text":"{\\"error\\": {}}"}]}}]}]',
        b'{"error": null}]',
        b'{"x": "error"}]',
        b"]",
    ],
)
def test_an_array_that_speaks_of_errors_did_not_go_wrong(end: bytes) -> None:
    assert GEMINI.failure(b"[" + end) is None


def test_what_another_dialect_alone_can_say_is_refused() -> None:
    chat = Chat(model="m", messages=[], native=["conversation"], origin="openai_responses")
    rendering = Rendering(model="m", omissions=Omissions("gemini", reject=False))

    with pytest.raises(Unsupported, match="`conversation` cannot be carried"):
        GEMINI.render(chat, rendering)


# Recorded traffic.


@pytest.fixture(scope="module")
def recorded(cassettes: Path) -> list[Recorded]:
    found = recordings(cassettes, "gemini")
    assert len(found) > 60
    return found


def decode(pieces: list[bytes]) -> list[Event]:
    decoder = GEMINI.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def is_whole(case: Recorded) -> bool:
    return case.response.lstrip()[:1] == b"{"


def events_of(case: Recorded) -> list[Event]:
    return GEMINI.decode(case.response) if is_whole(case) else decode([case.response])


def answered(recorded: list[Recorded]) -> list[Recorded]:
    return [case for case in recorded if case.status == 200]


def test_recorded_responses_are_decoded_wherever_they_are_cut(recorded: list[Recorded]) -> None:
    for case in answered(recorded):
        events = events_of(case)
        assert type(events[-1]) is End, case.id
        assert any(type(event) is Used for event in events), case.id
        if is_whole(case):
            continue
        for number, pieces in enumerate(cuts(case.response, random_ways=3)):
            if number != 1 or len(case.response) < 4000:
                assert decode(pieces) == events, case.id


def test_recorded_streams_that_are_cut_off_are_a_prefix(recorded: list[Recorded]) -> None:
    dice = random.Random(7)
    for case in answered(recorded):
        if is_whole(case):
            continue
        whole = events_of(case)
        for _ in range(5):
            decoder = GEMINI.decoder()
            events = decoder.feed(case.response[: dice.randrange(len(case.response) - 1)])
            assert events == whole[: len(events)], case.id
            assert type(whole[-1]) is End
            assert not any(type(event) is End for event in events), case.id


class Result(NamedTuple):
    """What an SDK's user sees of a response, however it was cut into chunks."""

    text: str
    thoughts: str
    signatures: list[bytes]
    calls: list[tuple[str | None, Any]]
    native: list[Any]
    finish: Any
    counts: tuple[int | None, ...]
    model: str | None
    id: str | None
    safety: Any
    sources: Any


def result(chunks: list[types.GenerateContentResponse]) -> Result:
    parts = []
    finish = safety = sources = None
    for chunk in chunks:
        for candidate in chunk.candidates or []:
            parts += (candidate.content and candidate.content.parts) or []
            finish = candidate.finish_reason or finish
            safety = candidate.safety_ratings or safety
            metadata = candidate.grounding_metadata
            if metadata is not None and metadata.grounding_chunks:
                sources = metadata
    usage = next(c.usage_metadata for c in reversed(chunks) if c.usage_metadata is not None)
    thoughts = usage.thoughts_token_count or 0
    return Result(
        "".join(part.text or "" for part in parts if not part.thought),
        "".join(part.text or "" for part in parts if part.thought),
        [part.thought_signature for part in parts if part.thought_signature],
        [
            (part.function_call.name, part.function_call.args)
            for part in parts
            if part.function_call
        ],
        [part for part in parts if part.executable_code or part.code_execution_result],
        finish,
        (
            (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
            (usage.candidates_token_count or 0) + thoughts,
            usage.cached_content_token_count or 0,
            thoughts,
        ),
        chunks[0].model_version,
        chunks[0].response_id,
        safety,
        sources,
    )


ReadBySDK = Callable[[bytes, bool], list[types.GenerateContentResponse]]


@pytest.fixture(scope="module")
def read_by_sdk() -> ReadBySDK:
    """What Google's SDK makes of a response; the flag: it is a stream."""
    responses: list[httpx2.Response] = []
    transport = httpx2.MockTransport(lambda request: responses.pop())
    options = types.HttpOptions(httpx_client=httpx2.Client(transport=transport))
    models = genai.Client(api_key="k", http_options=options).models

    def read(payload: bytes, stream: bool) -> list[types.GenerateContentResponse]:
        kind = "text/event-stream" if stream else "application/json"
        responses.append(httpx2.Response(200, headers={"content-type": kind}, content=payload))
        if stream:
            return list(models.generate_content_stream(model="m", contents="hi"))
        return [models.generate_content(model="m", contents="hi")]

    return read


def as_events(array: bytes) -> bytes:
    """A stream in array form as events, which is all that Google's SDK for Python asks for."""
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(c).encode() for c in json.loads(array))


def test_the_sdk_reads_what_is_encoded_again_to_the_same_result(
    recorded: list[Recorded], read_by_sdk: ReadBySDK
) -> None:
    for case in answered(recorded):
        if "enum-encoding" in case.query:
            continue  # The SDK does not read enums that are numbers.
        events = events_of(case)
        chat = GEMINI.read(GEMINI.parse(case.request, case.path, case.query))
        stream = not is_whole(case)
        theirs = as_events(case.response) if case.response.lstrip()[:1] == b"[" else case.response
        expected = result(read_by_sdk(theirs, stream))
        whole = GEMINI.encode(chat, events)
        assert result(read_by_sdk(whole, False)) == expected, case.id
        for chat.array in (False, True):
            encoder = GEMINI.encoder(chat)
            ours = b"".join(encoder.feed([event]) for event in events) + encoder.close()
            spelled = as_events(ours) if chat.array else ours
            assert result(read_by_sdk(spelled, True)) == expected, case.id
            again = decode([ours])
            assert bare(again) == bare(events), case.id


def bare(events: list[Event]) -> list[Event]:
    """Without the usage on the way, of which only the last counts, and what begins it."""
    last = [event for event in events if isinstance(event, Used)][-1]
    return [event for event in events if not isinstance(event, Used | Begin)] + [last]


def test_recorded_requests_are_rendered_to_what_they_were(recorded: list[Recorded]) -> None:
    for case in recorded:
        parsed = GEMINI.parse(case.request, case.path, case.query)
        assert parsed.model is not None
        omissions = Omissions("gemini", reject=True)
        rendering = Rendering(model=parsed.model, omissions=omissions)
        body = GEMINI.render(GEMINI.read(parsed), rendering)
        assert normal(json.loads(body)) == normal(json.loads(case.request)), case.id


def normal(request: Any) -> Any:
    """A request in one spelling: names, schemas, what says nothing, ids that it had not."""
    request.pop("model", None)
    found: dict[str, Any] = camel(request)
    for content in found["contents"]:
        for part in content["parts"]:
            part.pop("thought", None) if not part.get("thought") else None
            for kind in ("functionCall", "functionResponse"):
                if kind in part:
                    identity = part[kind].get("id", "call_")
                    if identity.startswith("call_") and len(identity) < 8:
                        part[kind].pop("id", None)
    found["contents"] = [c for c in found["contents"] if c["parts"]]
    instruction = found.get("systemInstruction")
    if instruction is not None:
        instruction.pop("role", None)
        parts = (
            instruction["parts"]
            if isinstance(instruction["parts"], list)
            else [instruction["parts"]]
        )
        instruction["parts"] = [{"text": part["text"]} for part in parts]
    tools = [t for t in found.pop("tools", []) if t]
    functions = [f for t in tools for f in t.pop("functionDeclarations", [])]
    for function in functions:
        schema = function.pop("parameters", None) or function.pop("parametersJsonSchema", None)
        function["schema"] = json.loads(lowered(schema))
    found["tools"] = [functions, *({key: t[key]} for t in tools for key in t)]
    config = found.pop("generationConfig", {})
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    for name in ("responseSchema", "responseJsonSchema"):
        if name in config:
            config["schema"] = json.loads(lowered(config.pop(name)))
    if config.get("responseModalities") == ["TEXT"]:
        del config["responseModalities"]
    thinking = config.get("thinkingConfig", {})
    if "thinkingLevel" in thinking:
        thinking["thinkingLevel"] = thinking["thinkingLevel"].upper()
    if config:
        found["generationConfig"] = config
    if not found.get("toolConfig", True):
        del found["toolConfig"]
    return found


NUMBERS = ("", "string", "number", "integer", "boolean", "array", "object")


def lowered(schema: Any) -> str:
    def low(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(low, value))
        if not isinstance(value, dict):
            return value
        found = {key: low(inner) for key, inner in value.items()}
        kind = found.get("type")
        if isinstance(kind, str):
            found["type"] = kind.lower()
        elif isinstance(kind, int):
            found["type"] = NUMBERS[kind]
        return found

    return json.dumps(low(schema))


OPEN = {"args", "response", "properties", "schema", "parameters", "data"}
"""What has names of its own."""


def camel(value: Any) -> Any:
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, inner in value.items():
        if inner is None:
            continue
        first, *rest = name.split("_")
        key = first + "".join(word.capitalize() for word in rest)
        if key == "data":
            inner = inner.replace("-", "+").replace("_", "/")
            inner += "=" * (-len(inner) % 4)
        if key == "thoughtSignature":
            inner = inner.replace("-", "+").replace("_", "/")
        found[key] = inner if key in OPEN or key.endswith("Schema") else camel(inner)
    return found
