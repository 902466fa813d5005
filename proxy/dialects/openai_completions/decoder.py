"""What a provider of Completions answers, as events: in a stream, or whole."""

from proxy.dialects._openai.chunks import ChunkDecoder
from proxy.dialects.openai_completions import chunk as c
from proxy.dialects.openai_completions.wire import NAME
from proxy.event import Event, Logprobs, Text


class CompletionsDecoder(ChunkDecoder[c.Choice]):
    """Decodes one stream, or one whole answer."""

    __slots__ = ()

    origin = NAME
    title = "OpenAI's Completions"
    chunk = c.decode_chunk
    first = c.decode_first

    def _add_choice(self, choice: c.Choice, frame: bytes, events: list[Event]) -> None:
        if choice.text:
            events.append(Text(choice.text, choice.index))
        if choice.logprobs is not None:
            tokens = choice.logprobs.neutral()
            if tokens:
                events.append(Logprobs(tokens, choice.index))
