"""OpenAI's legacy completions: https://platform.openai.com/docs/api-reference/completions."""

from proxy.dialects._openai import OpenAI
from proxy.errors import Unsupported
from proxy.exchange import ParsedRequest


class OpenAICompletions(OpenAI):
    """``POST /v1/completions``."""

    name = "openai_completions"
    path = "/v1/completions"
    operation = "text_completion"
    has_usage_option = True

    def add_system(self, request: ParsedRequest, text: str) -> None:
        raise Unsupported("this route has a system prompt, and /v1/completions has no place for it")
