"""The JSON Schema, held against what the configuration's own reader accepts and refuses."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proxy.config.schema import schema, summary
from proxy.config.section import keys
from proxy.config.sections import Document, ServerConfig
from proxy.config.source import parse
from proxy.config.validation import validate
from proxy.errors import ConfigError
from proxy.preset import presets
from proxy.registry import names

ROOT = Path(__file__).parents[3]
ENVIRON = {"OPENAI_API_KEY": "canary", "X": "canary", "LEVEL": "debug", "WAIT": "5s"}
DRAFTS = [
    jsonschema.Draft4Validator,
    jsonschema.Draft7Validator,
    jsonschema.Draft202012Validator,
]
KEYWORDS = {
    "$schema",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "enum",
    "pattern",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
}


def valid(text: str, draft: Any = jsonschema.Draft7Validator) -> bool:
    return bool(draft(schema()).is_valid(tomllib.loads(text)))


def accepted(text: str) -> bool:
    try:
        validate(parse(text, "c.toml"), ENVIRON)
    except ConfigError:
        return False
    return True


def described(part: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with the keys on the way to it."""
    if isinstance(part, dict):
        yield place, part
        for name, below in part.get("properties", {}).items():
            yield from described(below, f"{place}.{name}")
        for form in [*part.get("anyOf", []), part.get("items"), part.get("additionalProperties")]:
            yield from described(form, place)


@pytest.mark.parametrize("draft", DRAFTS)
def test_it_is_a_schema_in_every_draft(draft: Any) -> None:
    draft.check_schema(schema())


def test_it_keeps_to_what_every_editor_reads() -> None:
    for place, part in described(schema()):
        assert set(part) <= KEYWORDS, place
        assert part.get("required", [""]) != [], f"{place}: draft 4 knows no empty list"


def test_every_key_has_a_description() -> None:
    for place, part in described(schema()):
        for name, below in part.get("properties", {}).items():
            assert below.get("description", "").endswith("."), f"{place}.{name}"


def test_it_has_every_section_and_every_key() -> None:
    tables = schema()["properties"]

    assert set(tables) == set(keys(Document))
    assert set(tables["server"]["properties"]) == set(keys(ServerConfig))
    assert tables["server"]["properties"]["head_timeout"]["default"] == "10s"
    assert tables["server"]["description"].startswith("Server Config. Where the proxy listens")


def test_every_preset_and_every_component_is_a_type() -> None:
    tables = schema()["properties"]

    def types(forms: list[dict[str, Any]]) -> list[str]:
        return [name for form in forms for name in form["properties"]["type"]["enum"]]

    assert set(types(tables["provider"]["additionalProperties"]["anyOf"])) == set(presets())
    assert types(tables["processor"]["additionalProperties"]["anyOf"]) == [
        "parameters",
        "system_prompt",
    ]
    provider = tables["provider"]["additionalProperties"]["anyOf"][0]
    for key, family in (("token", "tokens"), ("url", "urls")):
        text, array, *forms = provider["properties"][key]["anyOf"]
        assert (text["type"], array["type"]) == ("string", "array")
        assert types(forms) == names(family)


def examples() -> list[str]:
    """The configurations in the README, and config.toml without its comments."""
    readme = (ROOT / "README.md").read_text("utf-8")
    lines = (ROOT / "config.toml").read_text("utf-8").splitlines()
    uncommented = [re.sub("^#(?! |:|$)", "", line) for line in lines]
    return [*re.findall(r"```toml\n(.*?)```", readme, re.DOTALL), "\n".join(uncommented)]


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("text", examples(), ids=range(len(examples())))
def test_the_examples_are_valid(text: str, draft: Any) -> None:
    assert len(tomllib.loads(text)) > 2
    draft(schema()).validate(tomllib.loads(text))


MOCK = '[provider.mock]\ntype = "mock"\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        MOCK,
        '[server]\nlisten = "127.0.0.1:0"\nhead_timeout = "1.5s"\nmax_body_size = "64KiB"',
        '[server]\nlisten = ["127.0.0.1:0", "unix:/x"]\nhead_timeout = "${WAIT:-1s}"',
        '[provider.x]\ntype = "openai"\ntoken = "literal:x"',
        '[provider.x]\ntype = "openai"\ntoken = "exec:sh -c x"',
        '[provider.x]\ntype = "vllm"\nurl = "http://x/v1"\ntoken = { type = "env", name = "X" }',
        '[provider.x]\ntype = "vllm"\nurl = ["http://x/v1", "unix:/run/x:/v1"]\nselect = "hash"',
        '[provider.x]\ntype = "vllm"\n[provider.x.url]\ntype = "pool"\n'
        'urls = ["http://x", "http://y"]\nweights = [3, 1.5]\nhash_by = "header:x-mine"',
        '[provider.x]\ntype = "openai"\ntoken = ["literal:x", { type = "literal", value = "y" }]',
        '[provider.x]\ntype = "openai"\n[provider.x.token]\ntype = "pool"\n'
        'tokens = ["literal:x", "literal:y"]\nselect = "ordered"',
        '[provider.x]\ntype = "vllm"\nurl = "http://x"\nproxy = "http://proxy:3128"',
        '[provider.x]\ntype = "openai"\ntoken = "client"',
        MOCK + '[[route]]\ntargets = "mock"\ntoken = { type = "client" }',
        '[provider.x]\ntype = "vllm"\nurl = "http://x"\nproxy = "literal:http://me:x@proxy"',
        '[provider.x]\ntype = "vllm"\nurl = "http://x"\n[provider.x.proxy]\ntype = "literal"\n'
        'value = "http://proxy"',
        '[provider.x]\ntype = "openai"\n[provider.x.token]\ntype = "exec"\ncommand = ["sh"]\n'
        'expires = "15m"\ntimeout = "1s"',
        MOCK + '[[route]]\ntargets = "mock"\nmodels = "a"\npath = "/v1/*"\nusage = "never"',
        MOCK + '[[route]]\ntargets = ["mock", "mock/a", { provider = "mock", model = "a" }]',
        MOCK + '[processor.x]\ntype = "parameters"\nset = { a = [1, { b = 2 }] }\n'
        "clamp.a = { min = 1, max = 1.5 }\ndrop = 'a'",
        MOCK + '[processor.x]\ntype = "system_prompt"\ntext = "a"',
        '[monitoring]\nlog = { level = "${LEVEL:-info}" }\nmetrics = false',
    ],
)
def test_what_is_accepted_is_valid(text: str) -> None:
    assert accepted(text)
    assert valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "[servre]",
        "x = 1",
        "server = 1",
        "[server]\nlisten_ = 'x'",
        "[server]\nlisten = 8080",
        "[server]\nlisten = [8080]",
        '[server]\nhead_timeout = "10 s"',
        "[server]\nhead_timeout = 10",
        '[server]\nmax_body_size = "1 MB"',
        "[provider.x]",
        '[provider.x]\ntype = "opnai"',
        MOCK + "output_tokens = -1",
        MOCK + "output_tokens = '1'",
        MOCK + 'url = "http://x"',
        '[provider.x]\ntype = "openai"\nttft = "1s"',
        '[provider.x]\ntype = "openai"\ntoken = "canary"',
        '[provider.x]\ntype = "openai"\ntoken = { type = "env" }',
        '[provider.x]\ntype = "openai"\ntoken = "clients"',
        '[provider.x]\ntype = "openai"\ntoken = ["canary", "literal:x"]',
        '[provider.x]\ntype = "vllm"\nurl = 5',
        '[provider.x]\ntype = "vllm"\nurl = "http://x"\nproxy = 5',
        '[provider.x]\ntype = "vllm"\nurl = "http://x"\nproxy = { type = "pool", tokens = [] }',
        '[provider.x]\ntype = "vllm"\nurl = ["http://x", 5]',
        '[provider.x]\ntype = "vllm"\nurl = { type = "pool", urls = [] }',
        '[provider.x]\ntype = "vllm"\nurl = { type = "pool", urls = ["http://x"], select = "x" }',
        '[provider.x]\ntype = "openai"\ntoken = { type = "exec", command = [] }',
        "[processor.x]",
        '[processor.x]\ntype = "system_prompt"',
        '[processor.x]\ntype = "system_prompt"\ntext = ""',
        '[processor.x]\ntype = "parameters"\ntext = "a"',
        '[processor.x]\ntype = "parameters"\nclamp.a = { mix = 1 }',
        "[route]\ntargets = 'x'",
        "[[route]]",
        MOCK + "[[route]]\ntargets = 5",
        MOCK + "[[route]]\ntargets = [{ model = 'x' }]",
        MOCK + '[[route]]\ntargets = "mock"\nusage = "allways"',
        "[monitoring.log]\nlevel = 'loud'",
        "[security]\nallow_unauthenticated = 'yes'",
    ],
)
def test_what_is_refused_is_not_valid(text: str) -> None:
    assert not accepted(text)
    assert not valid(text)


def test_includes_stand_at_the_top_alone() -> None:
    assert valid('include = ["a.toml", "b/*.toml"]')
    assert valid('include = "a.toml"')
    assert not valid('[server]\ninclude = "a.toml"')


def test_what_a_table_is_for_is_the_first_paragraph_of_its_documentation() -> None:
    assert summary(ServerConfig) == (
        "Where the proxy listens, and how patient it is with its clients."
    )
