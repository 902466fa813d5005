"""Events: what the frames of a response mean, in no dialect's spelling.

A response, whole or streamed, is a sequence of events: `Begin`, then content, then one `Stop`
for each choice, `Used` where the provider counted, and `End` when it said that it was done. A
response that broke has no `End`. A dialect decodes its frames into events and encodes events
into frames, so that N dialects need N codecs.

Content comes in the order in which the model wrote it. Deltas that follow each other belong
together: text after text is one text, whatever block of the provider's it stood in; thinking
ends at its `Signature`; calls are told apart by their `index`, and may interleave.
"""

import hashlib
from typing import Literal

import msgspec

from proxy.errors import ProxyError

StopReason = Literal[
    "stop", "stop_sequence", "length", "context", "tool_calls", "filter", "refusal", "pause"
]
"""Why a model stopped: at its end, at a stop sequence, at `max_tokens`, at the end of its context
window, to have tools called, filtered, refusing, or pausing in a turn that is to be continued."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens that an exchange used, as its provider counted them.

    Totals include their parts: input those read from and written to a cache, output reasoning.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0


class Event(msgspec.Struct, gc=False):
    """One thing that a provider said."""


class Begin(Event):
    """The response begins. Empty is what the provider did not say."""

    id: str = ""
    model: str = ""
    created: int = 0
    """Seconds of Unix time."""
    service_tier: str = ""
    fingerprint: str = ""


class Text(Event):
    """Text for the user."""

    text: str
    choice: int = 0


class Refusal(Event):
    """The model's own words why it will not."""

    text: str
    choice: int = 0


class Thinking(Event):
    """Reasoning, or (`summary`) what the provider shows in its place."""

    text: str
    choice: int = 0
    summary: bool = False


class Signature(Event):
    """Ends the thinking before it; opaque, and good only with providers of the dialect `origin`.

    Without thinking before it, it stands for thinking that the provider does not show at all:
    a redacted block (`redacted`), or reasoning that is only kept encrypted.
    """

    value: str
    origin: str
    choice: int = 0
    redacted: bool = False


class Call(Event):
    """A tool call begins; its arguments come in `Arguments` of the same index."""

    index: int
    """Counts the calls of one choice, from 0."""
    id: str
    name: str
    choice: int = 0
    custom: bool = False
    """The arguments are free text, not JSON."""
    signature: str = ""
    """What some providers want back with the call; good only with the dialect `origin`."""
    origin: str = ""


class Arguments(Event):
    """Some of a call's arguments: a piece of JSON text, cut anywhere."""

    index: int
    text: str
    choice: int = 0


class Media(Event):
    """An image or a sound that the model made, in base64."""

    media_type: str
    data: str
    choice: int = 0


class Citation(Event):
    """Where the text before it comes from. Indices count characters of the whole text."""

    url: str = ""
    title: str = ""
    quote: str = ""
    start: int | None = None
    end: int | None = None
    raw: bytes = b""
    """As its own dialect (`origin`) spelled it."""
    origin: str = ""
    choice: int = 0


class Logprob(msgspec.Struct, gc=False):
    """One token and the logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top: list["Logprob"] = []
    """The likeliest tokens in its place."""


class Logprobs(Event):
    """Of the tokens of the text before it (`refusal`: of the refusal before it)."""

    tokens: list[Logprob]
    choice: int = 0
    refusal: bool = False


class Stop(Event):
    """A choice is complete."""

    reason: StopReason
    native: str = ""
    """The provider's own word for it."""
    sequence: str | None = None
    """The stop sequence that was met."""
    choice: int = 0


class Used(Event):
    """Usage so far. Each replaces what the ones before it said: nothing is ever added up."""

    usage: Usage


class Failure(Event, gc=True):
    """The provider said that it failed; nothing follows."""

    # The collector must see it: the error's traceback may lead back to it.

    error: ProxyError


class End(Event):
    """The provider said that this is all."""


class Vector(Event):
    """One embedding."""

    index: int
    values: list[float]


class Other(Event):
    """A frame that means something to its own dialect only."""

    frame: bytes
    origin: str


def call_id(response: str, choice: int, index: int) -> str:
    """An id for a call to which its provider gave none: another in each response."""
    seed = f"{response}/{choice}/{index}".encode()
    return "call_" + hashlib.blake2b(seed, digest_size=12).hexdigest()
