"""OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat."""

import msgspec

from proxy.dialects._openai import OpenAI
from proxy.errors import BadRequest
from proxy.exchange import ParsedRequest, Raw

_messages = msgspec.json.Decoder(list[Raw])


class OpenAIChat(OpenAI):
    """``POST /v1/chat/completions``."""

    name = "openai_chat"
    path = "/v1/chat/completions"
    operation = "chat"
    has_usage_option = True

    def add_system(self, request: ParsedRequest, text: str) -> None:
        try:
            messages = _messages.decode(request.fields["messages"])
        except (KeyError, msgspec.ValidationError) as error:
            raise BadRequest("`messages` must be an array", param="messages") from error
        system = Raw(msgspec.json.encode({"role": "system", "content": text}))
        request.set("messages", [system, *messages])
