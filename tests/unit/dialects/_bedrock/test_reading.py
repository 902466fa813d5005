"""What the mock provider understands of a request to Converse."""

import pytest

from proxy.chat import (
    CallPart,
    Chat,
    Format,
    ImagePart,
    Message,
    NativePart,
    Omissions,
    Raw,
    Rendering,
    ResultPart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolChoice,
)
from proxy.dialects.bedrock_converse import BedrockConverse
from proxy.errors import BadRequest

DIALECT = BedrockConverse()
SCHEMA = Raw(b'{"type":"object"}')
WHOLE = Chat(
    model="m:1",
    messages=[
        Message("system", [TextPart(text="s", cache="")]),
        Message("user", [TextPart(text="u"), ImagePart(data="AA==", media_type="image/png")]),
        Message(
            "assistant",
            [
                ThinkingPart(text="t", signature="x", origin="bedrock_converse"),
                CallPart(id="c", name="f", arguments='{"n":1.50}'),
            ],
        ),
        Message("tool", [ResultPart(id="c", content=[TextPart(text="r")], error=True)]),
        Message("user", [TextPart(text="go on")]),
    ],
    stream=True,
    tools=[Tool(name="f", description="d", schema=SCHEMA)],
    tool_choice=ToolChoice("named", ["f"]),
    format=Format(schema=SCHEMA),
    max_tokens=7,
    temperature=0.5,
    top_p=0.9,
    stop=["x"],
    origin="bedrock_converse",
)


def test_what_is_rendered_is_read_to_the_same() -> None:
    omissions = Omissions(DIALECT.name, reject=True)
    body = DIALECT.render(WHOLE, Rendering(model="m:1", omissions=omissions))

    assert DIALECT.read(DIALECT.parse(body, "/model/m%3A1/converse-stream")) == WHOLE


@pytest.mark.parametrize(
    ("spelled", "choice"),
    [
        ("{}", None),
        ('{"toolChoice":{"any":{}}}', ToolChoice("required")),
        ('{"toolChoice":{"auto":{}}}', ToolChoice("auto")),
    ],
)
def test_a_choice_of_tools_is_read(spelled: str, choice: ToolChoice | None) -> None:
    body = f'{{"messages":[],"toolConfig":{spelled}}}'.encode()
    chat = DIALECT.read(DIALECT.parse(body, "/model/m/converse"))

    assert isinstance(chat, Chat)
    assert chat.tool_choice == choice


def test_what_has_no_neutral_form_stays_its_own() -> None:
    body = b'{"messages":[{"role":"user","content":[{"video":{"format":"mp4"}}]}]}'
    chat = DIALECT.read(DIALECT.parse(body, "/model/m/converse"))

    assert isinstance(chat, Chat)
    [part] = chat.messages[0].parts
    assert isinstance(part, NativePart)
    assert (part.kind, bytes(part.raw)) == ("video", b'{"video":{"format":"mp4"}}')


def test_what_is_wrong_is_told_by_its_field() -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECT.read(DIALECT.parse(b'{"messages":1}', "/model/m/converse"))

    assert caught.value.param == "messages"
