"""What is asked and answered, in no API's words: the rows of docs/compatibility.md."""

from dataclasses import dataclass, field
from typing import Any

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


@dataclass(frozen=True)
class Call:
    """A call of the tool `weather`."""

    id: str
    city: str


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation: what stands in it beside `text` is empty where it is not."""

    role: str
    """user, assistant or tool."""
    text: str = ""
    image: str = ""
    calls: tuple[Call, ...] = ()
    answers: str = ""
    """The id of the call that a tool answers."""


@dataclass(frozen=True)
class Said:
    """An answer."""

    text: str = ""
    thinking: str = ""
    calls: tuple[str, ...] = ()
    """The cities that `weather` is called for."""
    stop: str = "stop"
    """stop, length or tools."""
    input_tokens: int = 21
    output_tokens: int = 9
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True)
class Feature:
    """A request, the answer to it, and what both show."""

    name: str
    turns: tuple[Turn, ...]
    said: Said
    system: str = ""
    tools: bool = False
    must_call: bool = False
    schema: bool = False
    effort: str = ""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None


@dataclass
class Seen:
    """What a provider was asked, read from its own API's words."""

    model: str = ""
    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    must_call: bool = False
    schema: dict[str, Any] | None = None
    thinks: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    stream: bool = False


ONE_TEXT = frozenset({"text", "parameters", "reasoning", "cached tokens in usage"})
"""Names of the features in which the user says one text, and no more is said in it."""


def _user(text: str) -> Turn:
    return Turn("user", text)


_WEATHER = _user("What is the weather in Paris?")
_CALLED = Turn("assistant", calls=(Call("call_a", "Paris"), Call("call_b", "Oslo")))

FEATURES = (
    Feature("text", (_user("Capital of France?"),), Said("It is Paris, déjà vu 🙂.")),
    Feature(
        "system prompt and conversation",
        (_user("Hi."), Turn("assistant", "Hello."), _user("And now?")),
        Said("Now this."),
        system="Be brief.",
    ),
    Feature(
        "parameters",
        (_user("Count."),),
        Said("1 2 3", stop="length"),
        max_tokens=7,
        stop=("END",),
        temperature=0.5,
    ),
    Feature("tool call", (_WEATHER,), Said(calls=("Paris",), stop="tools"), tools=True),
    Feature(
        "forced tool call",
        (_WEATHER,),
        Said(calls=("Paris",), stop="tools"),
        tools=True,
        must_call=True,
    ),
    Feature(
        "parallel tool calls",
        (_user("Weather in Paris and Oslo?"),),
        Said("Let me see.", calls=("Paris", "Oslo"), stop="tools"),
        tools=True,
    ),
    Feature(
        "tool results",
        (
            _user("Weather in Paris and Oslo?"),
            _CALLED,
            Turn("tool", "sunny", answers="call_a"),
            Turn("tool", "rain", answers="call_b"),
        ),
        Said("Sun and rain."),
        tools=True,
    ),
    Feature("image", (Turn("user", "What is it?", image=PIXEL),), Said("A pixel.")),
    Feature(
        "structured output",
        (_user("A city."),),
        Said('{"city":"Oslo","people":709000}'),
        schema=True,
    ),
    Feature(
        "reasoning",
        (_user("Think."),),
        Said("42.", thinking="Six times seven.", output_tokens=30, reasoning_tokens=20),
        effort="high",
        max_tokens=8000,
    ),
    Feature(
        "cached tokens in usage",
        (_user("Again."),),
        Said("Again.", input_tokens=2000, cached_tokens=1500),
    ),
)

MORE_THAN_ONE_TEXT = frozenset(feature.name for feature in FEATURES) - ONE_TEXT
