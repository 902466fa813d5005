import json
import tomllib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.effective import as_tree, render
from proxy.config.environment import interpolate
from proxy.config.provider import ProviderConfig
from proxy.config.sections import Settings
from proxy.config.source import parse
from proxy.config.validation import validate
from proxy.processors.system_prompt import SystemPrompt

ENVIRON = {"OPENAI_API_KEY": "canary-env"}

TEXT = """\
[server]
listen = ["127.0.0.1:0", "unix:/run/p.sock"]
admin_listen = "none"
max_body_size = "1536KiB"
[provider.openai]
type = "openai"
connect_timeout = "1500ms"
[provider."my.own"]
type = "mock"
seed = -1
[provider.kept]
type = "vllm"
url = ["http://x/v1", "http://y/v1"]
select = "least_busy"
token = { type = "exec", command = ["sh", "-c", "a b"], expires = "15m" }
[processor.rules]
type = "system_prompt"
text = 'say "hi"\\n $${x} $5'
[processor.limits]
type = "parameters"
drop = ["seed"]
set = { store = false, stop = ["a", "\\u007f"], deep = { "a b" = 1.5, none = {} } }
clamp = { max_tokens = { max = 4096 } }
[[route]]
path = "/v1/*"
models = ["gpt-*"]
processors = ["rules", "limits"]
targets = ["openai/gpt-4o", { provider = "my.own" }]
total_timeout = "1d"
[[route]]
targets = ["my.own"]
[monitoring.log]
format = "json"
"""


def settings_of(text: str) -> Settings:
    return validate(parse(text, "x.toml"), ENVIRON)[0]


def test_what_is_rendered_is_read_back_as_the_same_settings() -> None:
    settings = settings_of(TEXT)

    assert settings_of(render(settings)) == settings


def test_every_default_is_filled_in_and_spelled_as_in_a_file() -> None:
    tree = tomllib.loads(render(settings_of(TEXT)))

    assert tree["server"] == {
        "listen": ["127.0.0.1:0", "unix:/run/p.sock"],
        "admin_listen": "none",
        "workers": 1,
        "stall_timeout": "10s",
        "max_body_size": "1536KiB",
        "head_timeout": "10s",
        "body_timeout": "30s",
        "keepalive_timeout": "75s",
        "drain_delay": "0s",
        "drain_timeout": "30s",
        "watch": "0s",
    }
    assert tree["provider"]["openai"] == {
        "type": "openai",
        "url": "https://api.openai.com/v1",
        "token": "env:OPENAI_API_KEY",
        "forward_headers": [],
        "variables": {},
        "headers": {},
        "paths": {},
        "connect_timeout": "1500ms",
    }
    assert tree["processor"]["rules"] == {
        "type": "system_prompt",
        "text": 'say "hi"\\n $${x} $5',
    }
    assert tree["provider"]["kept"]["url"] == {
        "type": "pool",
        "urls": ["http://x/v1", "http://y/v1"],
        "select": "least_busy",
        "weights": [],
        "hash_by": "client",
    }
    assert tree["provider"]["kept"]["token"] == {
        "type": "exec",
        "command": ["sh", "-c", "a b"],
        "expires": "15m",
        "timeout": "10s",
    }
    assert tree["route"][0]["targets"] == ["openai/gpt-4o", "my.own"]
    assert tree["route"][1]["name"] == "route-2"
    assert tree["global"]["total_timeout"] == "0s"


def test_the_tree_is_what_is_rendered_and_fit_for_json() -> None:
    settings = settings_of(TEXT)
    tree = as_tree(settings)

    assert tomllib.loads(render(settings)) == tree
    assert json.loads(json.dumps(tree)) == tree
    assert msgspec.json.decode(msgspec.json.encode(tree)) == tree


def test_no_secret_is_shown() -> None:
    settings = settings_of(
        '[provider.x]\ntype = "openai"\ntoken = "literal:canary-literal"\n'
        '[provider.y]\ntype = "openai"\n[[route]]\ntargets = ["x", "y"]'
    )
    shown = render(settings) + json.dumps(as_tree(settings))

    assert "canary" not in shown
    assert 'token = "literal:********"' in shown
    assert 'token = "env:OPENAI_API_KEY"' in shown


def test_a_processor_that_no_section_built_goes_by_its_class() -> None:
    settings = Settings(processor={"x": SystemPrompt(text="a")})

    assert as_tree(settings)["processor"]["x"] == {"type": "SystemPrompt", "text": "a"}


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.booleans()),
    st.text(st.characters(codec="utf-8")) | st.text("${a}"),
)
def test_any_name_and_any_text_can_be_rendered(names: dict[str, bool], text: str) -> None:
    settings = Settings(
        provider={name: ProviderConfig(type=text) for name in names},
        processor={"x": SystemPrompt(text=text)},
    )

    tree = tomllib.loads(render(settings))
    spelled = as_tree(settings)["processor"]["x"]["text"]

    assert interpolate(spelled, {}) == text
    assert tree.get("provider", {}) == {
        name: {"type": spelled, "forward_headers": [], "variables": {}, "headers": {}, "paths": {}}
        for name in names
    }
    assert tree["processor"]["x"]["text"] == spelled
