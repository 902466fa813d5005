"""``[provider.NAME]``: the services that answer."""

from typing import Annotated, Literal

from msgspec import Meta, field

from proxy.config.section import Count, Patterns, TimeoutOverrides
from proxy.preset import Preset, customised, presets
from proxy.selection import Select
from proxy.tls import UpstreamTls
from proxy.token import Reference, Token
from proxy.url import Url


class ProviderConfig(TimeoutOverrides, frozen=True, kw_only=True):
    """``[provider.NAME]``: a service that answers."""

    type: Annotated[
        str,
        Meta(
            description="The preset that it starts from, such as openai or vllm.",
            examples=["openai"],
        ),
    ]
    url: Annotated[
        Url | None,
        Meta(
            description="Base URL of its API, or a list of several. Some presets know theirs. A "
            'unix socket is "unix:/run/vllm.sock:/v1".',
            examples=["https://api.openai.com/v1"],
        ),
    ] = None
    select: Annotated[
        Select | None,
        Meta(
            description="Which of several URLs serves a request, as in their pool: ordered, "
            "weighted, round_robin (absent, too), least_busy, least_latency or hash.",
            examples=["least_busy"],
        ),
    ] = None
    token: Annotated[
        Token | None,
        Meta(
            description="Its credential, as a reference: an environment variable, a file, a "
            "program; or a list of several. openai looks for OPENAI_API_KEY.",
            examples=["env:OPENAI_API_KEY"],
        ),
    ] = None
    proxy: Annotated[
        Reference | None,
        Meta(
            description="The HTTP proxy that it is asked through; a secret if it has a password. "
            "None is ever taken from the environment unasked.",
            examples=["http://proxy.internal:3128"],
            extra={"plain": "http"},
        ),
    ] = None
    tls: Annotated[
        UpstreamTls | None,
        Meta(
            description="Whom to trust, and what to show, where its URL is https; absent: those "
            "that the system trusts, and nothing.",
            examples=[{"min_version": "1.3"}],
        ),
    ] = None
    forward_headers: Annotated[
        Patterns,
        Meta(
            description="Names and globs of client headers that it gets beside the usual ones; "
            "credentials never.",
            examples=[["x-mine-*"]],
        ),
    ] = ()
    dialects: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="What it speaks, if not what its preset says. A request in one of them "
            "passes as it is; any other is translated into the first of its kind.",
            examples=[["openai_chat", "openai_embeddings"]],
        ),
    ] = None
    variables: Annotated[
        dict[str, str],
        Meta(
            description="What the names in braces stand for in its URL and paths: a region, "
            "a project, an API version. docs/providers.md says which a preset has.",
            examples=[{"region": "eu-west-1"}],
        ),
    ] = field(default_factory=dict)
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Headers that it gets where the client sent none of the name; "
            "`anthropic-beta` adds to the client's.",
            examples=[{"x-title": "my application"}],
        ),
    ] = field(default_factory=dict)
    paths: Annotated[
        dict[str, str],
        Meta(
            description="Where its endpoint of a dialect is, after the base URL, if not where its "
            "preset says; {model} stands for the model, {model:path} for one whose slashes stay.",
            examples=[{"openai_chat": "/deployments/{model}/chat/completions"}],
        ),
    ] = field(default_factory=dict)
    auth: Annotated[
        str | None,
        Meta(
            description="The header that carries its token, if not the one of its preset, or "
            "Authorization for the tokens that go there.",
            examples=["x-api-key: {token}"],
        ),
    ] = None
    stream_usage: Annotated[
        bool | None,
        Meta(
            description="Whether it takes stream_options.include_usage; absent: what its preset "
            "says.",
            examples=[True],
        ),
    ] = None
    max_tokens: Annotated[
        Count | None,
        Meta(
            description="The max_tokens of a translated request that names none, where the "
            "provider's dialect must have one; absent: 4096.",
            examples=[8192],
        ),
    ] = None

    def preset(self) -> Preset:
        """The preset, as this section changes it. Raises ValueError that begins with the key."""
        return customised(
            presets()[self.type],
            dialects=self.dialects,
            variables=self.variables,
            headers=self.headers,
            paths=self.paths,
            auth=self.auth,
            stream_usage=self.stream_usage,
            max_tokens=self.max_tokens,
        )


class MockConfig(TimeoutOverrides, frozen=True, kw_only=True):
    """``[provider.NAME]`` with ``type = "mock"``: a provider that runs inside the proxy."""

    type: Annotated[Literal["mock"], Meta(description="The mock provider.", examples=["mock"])]
    ttft: Annotated[
        str,
        Meta(
            description='Time to the first token: "20ms", or drawn from a distribution: '
            '"normal:20ms,5ms" (mean, deviation), "lognormal:20ms,0.5" (median, sigma), '
            '"gamma:20ms,4" (mean, shape).'
        ),
    ] = "0s"
    itl: Annotated[str, Meta(description="Time between two tokens, spelled as ttft.")] = "0s"
    output_tokens: Annotated[
        int, Meta(ge=0, description="How long an answer is where the client sets no limit.")
    ] = 16
    seed: Annotated[int, Meta(description="The same seed makes the same answers and delays.")] = 0
    fail_after_requests: Annotated[
        Count | None,
        Meta(description="Answer 503 after so many requests; absent: never.", examples=[1000]),
    ] = None
    forward_headers: Annotated[
        Patterns,
        Meta(description="As for every provider.", examples=[["x-mine-*"]]),
    ] = ()

    def preset(self) -> Preset:
        """The preset."""
        return presets()["mock"]
