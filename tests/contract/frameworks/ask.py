"""Asks through a library what stands on stdin, a JSON object a line, and prints what it understood.

Runs in an environment of its own, with the packages of requirements.txt beside it.
"""

import json
import sys
from typing import Any

import litellm
from langchain_openai import ChatOpenAI

litellm.telemetry = False

# Libraries print what they like; the answers are for whoever asked.
answers, sys.stdout = sys.stdout, sys.stderr


def langchain(url: str, asked: dict[str, Any], stream: bool) -> dict[str, Any]:
    more = {key: asked[key] for key in ("temperature", "stop", "reasoning_effort") if key in asked}
    model: Any = ChatOpenAI(
        model=asked["model"],
        base_url=f"{url}/v1",
        api_key="k",
        max_retries=0,
        stream_usage=True,
        max_completion_tokens=asked.get("max_completion_tokens"),
        **more,
    )
    bound = {key: asked[key] for key in ("tools", "tool_choice", "response_format") if key in asked}
    if bound:
        model = model.bind(**bound)
    whole: Any = None
    if stream:
        for chunk in model.stream(asked["messages"]):
            whole = chunk if whole is None else whole + chunk
    else:
        whole = model.invoke(asked["messages"])
    usage = whole.usage_metadata
    return {
        "text": whole.content,
        "calls": [call["args"]["city"] for call in whole.tool_calls],
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
    }


def through_litellm(model: str, base: str) -> Any:
    def ask(url: str, asked: dict[str, Any], stream: bool) -> dict[str, Any]:
        called = {**asked, "model": model, "api_base": f"{url}{base}", "api_key": "k"}
        called |= {"num_retries": 0, "drop_params": True, "stream": stream}
        if stream:
            chunks = list(litellm.completion(**called, stream_options={"include_usage": True}))
            whole = litellm.stream_chunk_builder(chunks)
        else:
            whole = litellm.completion(**called)
        message = whole.choices[0].message
        calls = [json.loads(call.function.arguments) for call in message.tool_calls or ()]
        return {
            "text": message.content or "",
            "calls": [call["city"] for call in calls],
            "input": whole.usage.prompt_tokens,
            "output": whole.usage.completion_tokens,
        }

    return ask


LIBRARIES = {
    "langchain-openai": langchain,
    "litellm-openai": through_litellm("openai/m", "/v1"),
    "litellm-anthropic": through_litellm("anthropic/m", ""),
}

for line in sys.stdin:
    told = json.loads(line)
    try:
        said = LIBRARIES[told["library"]](told["url"], told["asked"], told["stream"])
    except Exception as error:
        said = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), file=answers, flush=True)
