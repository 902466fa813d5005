"""A chat: what a client asks a model, in no dialect's spelling.

A dialect reads its own requests into a chat and renders a chat into its own requests. What no
two dialects share stays in the spelling it came in, marked with the name of the dialect
it is from (`origin`): the same one can say it again, every other refuses it or leaves it out.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NoReturn

import msgspec

from proxy.errors import Unsupported

Raw = msgspec.Raw

Role = Literal["system", "user", "assistant", "tool"]


class Part(msgspec.Struct, kw_only=True):
    """A piece of a message."""

    cache: str | None = None
    """A cache mark: what stands up to here is worth caching. "" or a lifetime such as "1h"."""
    extra: dict[str, Raw] = {}
    """Fields that are hints, in the spelling of the chat's `origin`: left out by every other."""


class TextPart(Part):
    """Text."""

    text: str


class ImagePart(Part):
    """An image: at a URL, or in base64, or a file that a provider keeps (`origin`)."""

    url: str | None = None
    """Never a ``data:`` URL: that is `data` and `media_type`. Nothing is ever fetched by us."""
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    origin: str = ""
    detail: str | None = None


class AudioPart(Part):
    """A sound in base64."""

    data: str
    media_type: str
    """Such as "audio/wav"."""


class FilePart(Part):
    """A document: at a URL, in base64, as plain text, or a file kept by a provider (`origin`)."""

    url: str | None = None
    data: str | None = None
    text: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    origin: str = ""
    name: str | None = None


class RefusalPart(Part):
    """An assistant's refusal."""

    text: str


class ThinkingPart(Part):
    """An assistant's reasoning, as the provider gave it out; see :class:`proxy.event.Signature`."""

    text: str = ""
    signature: str = ""
    origin: str = ""
    redacted: bool = False


class CallPart(Part):
    """An assistant's tool call."""

    id: str
    name: str
    arguments: str
    """JSON text as the client sent it, which may be invalid; "" is none. If `custom`, free text."""
    custom: bool = False
    signature: str = ""
    origin: str = ""


class ResultPart(Part):
    """A tool's answer to a call."""

    id: str
    """The call's."""
    content: list[Part]
    """Text, images, files."""
    name: str | None = None
    error: bool = False


class NativePart(Part):
    """What only the dialect `origin` can say."""

    raw: Raw
    origin: str
    kind: str
    """What it calls itself, for the error that refuses it."""


class Message(msgspec.Struct):
    """A turn. Results of tools stand in messages of their own (role `tool`), before what the
    user says in the same turn."""

    role: Role
    parts: list[Part]
    name: str | None = None


class Tool(msgspec.Struct, kw_only=True):
    """A tool that the model may call."""

    name: str
    description: str | None = None
    schema: Raw | None = None
    """JSON Schema of its arguments; None: it takes none."""
    strict: bool | None = None
    custom: bool = False
    """Its argument is free text; `schema` is then the format, as OpenAI spells it."""
    cache: str | None = None
    extra: dict[str, Raw] = {}
    """As a part's."""
    native: Raw | None = None
    """The whole tool as the dialect `origin` spells it: one that the provider itself runs."""
    origin: str = ""


class ToolChoice(msgspec.Struct):
    """Whether the model must call: at will, never, some tool, or one of `names`.

    Where `names` stand with `auto`, it may call these only.
    """

    mode: Literal["auto", "none", "required", "named"]
    names: list[str] = []


class Format(msgspec.Struct, kw_only=True):
    """What the answer must be: any JSON (`schema` is None), or JSON of a schema."""

    schema: Raw | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(msgspec.Struct, kw_only=True):
    """How much the model is to think."""

    effort: str | None = None
    """none, minimal, low, medium, high, xhigh or max."""
    budget: int | None = None
    """Tokens; 0 is "not at all", -1 is "as it sees fit"."""
    show: bool | None = None
    """Whether thoughts, or summaries of them, are to come back."""


class Chat(msgspec.Struct, kw_only=True):
    """A request to a model that talks. None is "the client did not say"."""

    model: str
    messages: list[Message]
    stream: bool = False
    include_usage: bool = True
    """Whether the client wants usage in the stream, where its dialect leaves that open."""
    array: bool = False
    """The stream is to be one growing JSON array (Gemini without ``alt=sse``)."""
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    legacy_functions: bool = False
    """The client spelled its tools as `functions` (OpenAI's Chat of old), so it knows one call
    at a time, and none by an id."""
    format: Format | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    stop: list[str] = []
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Raw | None = None
    n: int = 1
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    """Who the client's user is: OpenAI's `safety_identifier` and `user`, Anthropic's `user_id`."""
    service_tier: str | None = None
    metadata: dict[str, str] | None = None
    cache_key: str | None = None
    betas: list[str] = []
    """Features that Anthropic's clients ask for in a header, by their names."""
    extra: dict[str, Raw] = {}
    """Fields that are hints, in their own spelling (`origin`'s): left out by every other."""
    native: list[str] = []
    """Fields without which the request means something else, and which only `origin` can carry."""
    origin: str = ""
    """The client's dialect."""


class Embedding(msgspec.Struct, kw_only=True):
    """A request to a model that embeds."""

    model: str
    inputs: list[str] | list[list[int]]
    """Texts, or their tokens."""
    dimensions: int | None = None
    base64: bool = False
    """The client wants its vectors as base64 of little-endian float32."""
    task: str | None = None
    """What the vectors are for, such as "search_document" (Cohere's words for it)."""
    user: str | None = None
    extra: dict[str, Raw] = {}
    origin: str = ""


Ask = Chat | Embedding


class Omissions:
    """What a rendering leaves out, by the route's `unsupported` policy.

    Hints may be dropped, and are named in a response header; everything else that a dialect
    cannot say is refused.
    """

    __slots__ = ("_reject", "dialect", "names")

    def __init__(self, dialect: str, *, reject: bool) -> None:
        """`dialect` is who cannot say it; `reject`: hints are refused as well."""
        self.dialect = dialect
        self.names: list[str] = []
        self._reject = reject

    def hint(self, name: str, value: object = True) -> None:
        """The hint `name` cannot be carried, if it was given: if `value` is not None or empty."""
        if value is None or value == [] or value == {}:
            return
        if self._reject:
            self.refuse(f"`{name}`", param=name)
        if name not in self.names:
            self.names.append(name)

    def refuse(self, what: str, *, param: str | None = None) -> NoReturn:
        """Raise Unsupported: `what` cannot be carried."""
        raise Unsupported(f"{what} cannot be carried to a provider of {self.dialect}", param=param)


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What sets a provider apart from others of its dialect, when a chat is rendered for it."""

    max_tokens_field: str = "max_tokens"
    """What OpenAI's Chat calls `max_tokens` there: newer servers want `max_completion_tokens`."""
    default_max_tokens: int = 4096
    """Of a request that names none, where the dialect must."""
    system_role: str = "system"
    """The role of system messages in OpenAI's Chat: `system` or `developer`."""
    cache_marks: Literal["", "cache_control", "prompt_cache_breakpoint"] = ""
    """How OpenAI's Chat spells cache marks there; "" is not at all."""
    reasoning_field: str = ""
    """In which field an assistant's reasoning is given back in OpenAI's Chat, such as
    `reasoning_content`; "" is not at all."""
    system_messages: bool = False
    """Anthropic's Messages take system messages in the midst of a conversation there; otherwise
    such a message is the user's."""
    counts_thinking: bool | None = None
    """Anthropic's Messages are told there how many tokens to think, rather than how hard (None: as
    the model's name tells)."""
    counts_whole_requests: bool = True
    """Gemini's countTokens takes a whole request there; on Vertex AI, the fields of one."""
    betas: tuple[str, ...] = ()
    """Which of a chat's `betas` are taken there, in the body: one that is unknown is an error."""
    refuses: tuple[str, ...] = ()
    """Hints (by the names of :class:`Chat`) that the provider refuses: they are left out."""


class Rendering(msgspec.Struct, kw_only=True):
    """For whom a chat is rendered."""

    model: str
    """What the provider calls the model."""
    omissions: Omissions
    quirks: Quirks = Quirks()
    usage: bool = True
    """A stream is to report its usage, where that has to be asked for: whatever the client wants,
    translation needs it. False for providers that do not take the question."""


# What several dialects ask of a chat.


def omit_foreign(chat: Chat, dialect: str, omissions: Omissions) -> None:
    """Refuse, or leave out, what only the chat's own dialect can say, if that is not `dialect`."""
    if chat.origin == dialect:
        return
    for name in chat.native:
        omissions.refuse(f"`{name}`", param=name.partition(":")[0])
    for name in chat.extra:
        omissions.hint(name)
    for tool in chat.tools:
        if tool.native is not None:
            omissions.refuse(f"the tool `{tool.name}`", param="tools")
        for name in tool.extra:
            omissions.hint(f"tools.{name}")
    for message in chat.messages:
        for part in message.parts:
            _omit_of_part(part, omissions)


def _omit_of_part(part: Part, omissions: Omissions) -> None:
    if isinstance(part, NativePart):
        omissions.refuse(f"content of the type `{part.kind}`", param="messages")
    for name in part.extra:
        omissions.hint(f"messages.{name}")
    if isinstance(part, ResultPart):
        for inner in part.content:
            _omit_of_part(inner, omissions)


def merged(messages: Iterable[Message]) -> Iterator[Message]:
    """The messages, with neighbours of one role (and name) made one."""
    last: Message | None = None
    for message in messages:
        if last is not None and (last.role, last.name) == (message.role, message.name):
            last = Message(last.role, [*last.parts, *message.parts], last.name)
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def call_names(messages: Iterable[Message]) -> dict[str, str]:
    """What each call's id called: some dialects want the name with the result."""
    return {
        part.id: part.name
        for message in messages
        for part in message.parts
        if isinstance(part, CallPart)
    }


def data_url(media_type: str, data: str) -> str:
    """A ``data:`` URL of base64 data."""
    return f"data:{media_type};base64,{data}"


def split_data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a ``data:`` URL (RFC 2397); None for any other URL."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    media_type, _, coding = head.partition(";")
    if not comma or not coding.lower().endswith("base64"):
        return None
    return media_type or "text/plain", data


_SEAL = "~"


def seal(value: str, origin: str, dialect: str) -> str:
    """A signature of the dialect `origin` as a client of `dialect` is to keep it.

    In its own dialect it stays as it is; in another it says whose it is, so that it can be told
    apart, and taken back, when the client sends it again.
    """
    return value if not value or origin == dialect else f"{_SEAL}{origin}{_SEAL}{value}"


def unseal(value: str, dialect: str) -> tuple[str, str]:
    """A signature that a client of `dialect` sent back, and the dialect it is from."""
    if value.startswith(_SEAL):
        origin, found, rest = value[1:].partition(_SEAL)
        if found:
            return rest, origin
    return value, dialect
