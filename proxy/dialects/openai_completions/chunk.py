"""What is read of a chunk, or of a whole answer, of Completions; the rest is passed over."""

import msgspec

from proxy.dialects._openai.chunks import ChoiceOf, Chunk, FirstChunk
from proxy.dialects._openai.logprobs import Token
from proxy.event import Logprob


class Tokens(msgspec.Struct, gc=False):
    """Log-probabilities: lists side by side, or (llama.cpp's) as Chat has them."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    content: list[Token] | None = None

    def neutral(self) -> list[Logprob]:
        """As events have them, without the first token of an echo, of which there is none."""
        if self.content:
            return [token.neutral() for token in self.content]
        tops = self.top_logprobs or []
        found = []
        for at, (token, logprob) in enumerate(
            zip(self.tokens or (), self.token_logprobs or (), strict=False)
        ):
            if logprob is not None:
                top = (tops[at] if at < len(tops) else None) or {}
                likeliest = [Logprob(*each) for each in top.items()]
                found.append(Logprob(token, logprob, None, likeliest))
        return found


class Choice(ChoiceOf, gc=False):
    """A choice."""

    text: str | None = None
    logprobs: Tokens | None = None


decode_chunk = msgspec.json.Decoder(Chunk[Choice])
decode_first = msgspec.json.Decoder(FirstChunk[Choice])
