"""OpenAI embeddings: https://platform.openai.com/docs/api-reference/embeddings."""

from proxy.dialects._openai import OpenAI
from proxy.exchange import ParsedRequest


class OpenAIEmbeddings(OpenAI):
    """``POST /v1/embeddings``; instructs no model, so a system prompt does not concern it."""

    name = "openai_embeddings"
    path = "/v1/embeddings"
    operation = "embeddings"

    def add_system(self, request: ParsedRequest, text: str) -> None:
        pass
