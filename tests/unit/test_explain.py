"""Explanations of requests to assembled configurations that nobody opened or listens for."""

import json
from typing import Any

import msgspec
import pytest

from proxy.assembly import assemble
from proxy.config.load import TEXT, Overrides, load
from proxy.dialect import Dialect
from proxy.errors import Blocked
from proxy.exchange import Exchange, ParsedRequest
from proxy.explain import Change, Considered, Explainer, Explanation, Failure, Step
from proxy.processor import Processor

CONFIG = """
[server]
max_body_size = "1KiB"
[global]
total_timeout = "9m"
[provider.openai]
type = "openai"
token = "literal:canary"
idle_timeout = "1m"
total_timeout = "5m"
[provider.vllm]
type = "vllm"
url = "http://10.0.0.1:8000/base/v1/"
[provider.mock]
type = "mock"
[processor.rules]
type = "system_prompt"
text = "Be nice."
[processor.limits]
type = "parameters"
clamp = { max_tokens = { max = 10 } }
drop = ["seed"]
default = { top_p = 1 }
[[route]]
name = "files"
path = ["/v1/files/*", "/v1/audio"]
targets = ["vllm", "mock"]
[[route]]
name = "named"
models = ["a", "b-*"]
targets = "mock"
[[route]]
name = "chat"
path = "/v1/chat/completions"
models = "gpt-*"
processors = ["rules", "limits"]
targets = ["openai/gpt-4o", "vllm", "mock"]
send_timeout = "7s"
[[route]]
name = "rest"
targets = "openai"
usage = "never"
"""


def explainer(config: str = CONFIG, **processors: Processor) -> Explainer:
    loaded = load(None, environ={TEXT: config}, overrides=Overrides())
    loaded.settings.processor.update(processors)
    return Explainer(assemble(loaded).router, loaded.settings)


async def explain(path: str = "/v1/chat/completions", **body: Any) -> Explanation:
    return await explainer().explain(path, json.dumps(body).encode())


async def test_the_first_route_that_takes_it_is_told_with_why_not_the_ones_before() -> None:
    explanation = await explain(model="gpt-5")

    assert explanation.routes == [
        Considered("files", False, "it takes /v1/files/*, /v1/audio only"),
        Considered("named", False, "it takes a, b-* only"),
        Considered("chat", True, 'it takes "gpt-*"'),
    ]
    assert (explanation.dialect, explanation.model) == ("openai_chat", "gpt-5")


async def test_a_route_without_models_takes_every_one() -> None:
    explanation = await explain("/v1/embeddings", model="x", input="y")

    assert explanation.routes[-2:] == [
        Considered("chat", False, "it takes /v1/chat/completions only"),
        Considered("rest", True, "it takes every model"),
    ]


async def test_where_no_route_takes_it_all_are_told() -> None:
    config = CONFIG.partition('[[route]]\nname = "rest"')[0]
    explanation = await explainer(config).explain("/v1/chat/completions", b'{"model":"x"}')

    assert [considered.takes for considered in explanation.routes] == [False] * 3
    assert explanation.error == Failure(
        "proxy.no_route", 404, "no route takes model 'x' on /v1/chat/completions"
    )
    assert explanation.targets == []


async def test_each_processor_is_told_by_what_it_changes() -> None:
    explanation = await explain(
        model="gpt-5", max_tokens=100, seed=1, messages=[{"role": "user", "content": "hi"}]
    )

    assert explanation.processors == [
        Step(
            "rules",
            [
                Change(
                    "messages",
                    [
                        " [",
                        "+  {",
                        '+    "role": "system",',
                        '+    "content": "Be nice."',
                        "+  },",
                        "   {",
                    ],
                )
            ],
        ),
        Step(
            "limits",
            [
                Change("max_tokens", ["-100", "+10"]),
                Change("seed", ["-1"]),
                Change("top_p", ["+1"]),
            ],
        ),
    ]


async def test_a_processor_that_changes_nothing_is_told_too() -> None:
    explanation = await explain(model="gpt-5", top_p=0.5, messages=[])

    assert explanation.processors[1] == Step("limits", [])


async def test_a_long_field_is_told_by_its_size() -> None:
    body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": "x" * 300_000}]})
    config = CONFIG.replace("1KiB", "1MiB")
    explanation = await explainer(config).explain("/v1/chat/completions", body.encode())

    ((change,),) = [step.changes for step in explanation.processors if step.processor == "rules"]
    assert len(change.diff) == 1
    assert change.diff[0].startswith("(3000")


async def test_targets_come_in_order_with_what_each_would_be_asked() -> None:
    explanation = await explain(model="gpt-5", stream=True, messages=[])
    first, second, third = explanation.targets
    usage = Change("stream_options", ["+{", '+  "include_usage": true', "+}"])

    assert (first.target, first.model) == ("openai/gpt-4o", "gpt-4o")
    assert first.url == "https://api.openai.com/v1/chat/completions"
    assert first.changes == [Change("model", ['-"gpt-5"', '+"gpt-4o"']), usage]
    assert first.hides_usage
    assert (second.target, second.model) == ("vllm", "gpt-5")
    assert second.url == "http://10.0.0.1:8000/base/v1/chat/completions"
    assert second.changes == [usage]
    assert (third.target, third.url) == ("mock", None)
    assert explanation.stream


async def test_usage_is_asked_for_only_where_the_route_wants_it() -> None:
    body: dict[str, Any] = {"model": "x", "stream": True, "messages": []}
    rest = await explain(**body)
    own = await explain(**{**body, "model": "gpt-5"}, stream_options={"include_usage": True})
    plain = await explain(**{**body, "model": "gpt-5", "stream": False})
    unmeasured = await explainer(CONFIG + "[monitoring]\nmetrics = false").explain(
        "/v1/chat/completions", json.dumps({**body, "model": "gpt-5"}).encode()
    )

    for explanation in (rest, own, plain, unmeasured):
        for target in explanation.targets:
            assert not target.hides_usage
            assert all(change.field == "model" for change in target.changes)


async def test_the_limits_that_apply_are_told() -> None:
    explanation = await explain(model="gpt-5", messages=[])

    assert explanation.limits == {"max_body_size": "1KiB", "body_timeout": "30s"}
    assert explanation.targets[0].timeouts == {
        "connect": "5s",
        "first_byte": "10m",
        "idle": "1m",
        "send": "7s",
        "total": "5m",
    }
    # The exchange ends as a whole, when its first target's time is over.
    assert explanation.targets[1].timeouts == {
        **explanation.targets[0].timeouts,
        "idle": "5m",
        "total": "5m",
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "client.bad_json"),
        (b"", "client.bad_json"),
        (b"{}", "client.bad_request"),
        (b'{"model":"gpt-5","messages":5}', "client.bad_request"),
        (b'{"model":"gpt-5","messages":[%s]}' % (b"1," * 999), "client.too_large"),
    ],
)
async def test_a_request_that_would_be_refused_is_told_with_the_error(
    body: bytes, code: str
) -> None:
    explanation = await explainer().explain("/v1/chat/completions", body)

    assert explanation.error is not None
    assert explanation.error.code == code
    assert explanation.targets == []


class Watchful(Processor):
    """Refuses, fails, or is only told of the end; counts how often that is."""

    raises: str = ""

    async def on_request(
        self, exchange: Exchange, request: ParsedRequest, dialect: Dialect
    ) -> None:
        request.set("seen", value=True)
        if self.raises == "blocked":
            raise Blocked("not that")
        if self.raises:
            raise ZeroDivisionError(self.raises)

    def on_end(self, exchange: Exchange) -> None:
        vars(self)["ends"] = vars(self).get("ends", 0) + 1


@pytest.mark.parametrize(
    ("raises", "error"),
    [
        ("blocked", Failure("policy.blocked", 400, "not that")),
        ("oops", Failure("proxy.processor", 500, "a processor failed: ZeroDivisionError: oops")),
        ("", None),
    ],
)
async def test_a_processor_that_refuses_is_told_and_ends_it(
    raises: str, error: Failure | None
) -> None:
    processor = Watchful(raises=raises)
    explaining = explainer(rules=processor)
    explanation = await explaining.explain("/v1/chat/completions", b'{"model":"gpt-5"}')

    assert explanation.processors[0] == Step("rules", [Change("seen", ["+true"])], error)
    assert explanation.error == error
    assert len(explanation.processors) == (1 if error else 2)
    assert len(explanation.targets) == (0 if error else 3)
    assert vars(processor)["ends"] == 1


async def test_what_passes_through_has_a_route_and_its_first_target() -> None:
    explanation = await explainer().explain("/v1/files/x", b"ignored")
    (target,) = explanation.targets

    assert explanation.dialect is None
    assert explanation.routes == [Considered("files", True, "it takes the path")]
    assert (target.target, target.url, target.model) == (
        "vllm",
        "http://10.0.0.1:8000/base/v1/files/x",
        None,
    )


async def test_what_passes_nowhere_is_told() -> None:
    explanation = await explainer().explain("/other", b"")

    assert [considered.why for considered in explanation.routes] == [
        "it takes /v1/files/*, /v1/audio only",
        "it takes endpoints of dialects only",
        "it takes /v1/chat/completions only",
        "it takes endpoints of dialects only",
    ]
    assert explanation.error == Failure("proxy.no_route", 404, "no route takes POST /other")


async def test_a_route_by_models_takes_nothing_that_is_not_read() -> None:
    config = (
        '[provider.mock]\ntype = "mock"\n[[route]]\ntargets = "mock"\nmodels = "a"\npath = "/v1/*"'
    )
    explanation = await explainer(config).explain("/v1/files", b"")

    assert explanation.routes == [
        Considered("route-1", False, "it takes models by name, and here none is read")
    ]


async def test_a_request_without_a_model_is_told_why_names_do_not_take_it() -> None:
    explanation = await explain("/v1/responses", input="x", previous_response_id="r")

    assert explanation.routes[1] == Considered(
        "named", False, "it takes models by name, and the request has none"
    )
    assert explanation.routes[-1].takes


async def test_models_are_answered_by_whoever_knows_them() -> None:
    known = await explainer().explain("/v1/models", b"")
    unknown = await explainer('[provider.mock]\ntype = "mock"').explain("/v1/models/x", b"")

    assert known.answer == "the proxy itself, with the models that its routes name"
    assert known.routes == []
    assert unknown.answer is None
    assert unknown.routes == [Considered("default", True, "it takes the path")]


async def test_no_credential_is_told() -> None:
    explanation = await explain(model="gpt-5", messages=[])

    assert b"canary" not in msgspec.json.encode(explanation)


def test_only_the_bodies_of_endpoints_are_read() -> None:
    assert explainer().reads("/v1/chat/completions")
    assert not explainer().reads("/v1/files/x")
