"""OpenAI Responses: https://platform.openai.com/docs/api-reference/responses."""

import msgspec

from proxy.dialects._openai import OpenAI
from proxy.errors import BadRequest, ProxyError
from proxy.exchange import ParsedRequest

_text = msgspec.json.Decoder(str | None)


class OpenAIResponses(OpenAI):
    """``POST /v1/responses``; a model may be left to the stored prompt that it names."""

    name = "openai_responses"
    path = "/v1/responses"
    operation = "chat"
    needs_model = False

    def add_system(self, request: ParsedRequest, text: str) -> None:
        try:
            own = _text.decode(request.fields.get("instructions", b"null"))
        except msgspec.ValidationError as error:
            raise BadRequest("`instructions` must be a string", param="instructions") from error
        request.set("instructions", f"{text}\n\n{own}" if own else text)

    def error_event(self, error: ProxyError) -> bytes:
        event = {"type": "error", "code": error.code, "message": str(error), "param": error.param}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event)
