"""Puts a system prompt of the operator's before whatever a request tells the model.

::

    [processor.house_rules]
    type = "system_prompt"
    text = "Answer in English."
"""

from typing import Annotated

from msgspec import Meta

from proxy.dialect import Dialect
from proxy.exchange import Exchange, ParsedRequest
from proxy.processor import Processor


class SystemPrompt(Processor):
    """Refuses endpoints that instruct a model but have no place for a system prompt."""

    text: Annotated[str, Meta(min_length=1, description="The prompt.")]

    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        dialect.add_system(request, self.text)
