from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.environment import PREFIX, interpolate, interpolate_all, override
from proxy.config.source import Source, parse

TEXT = """
[provider.my-own]
type = "vllm"
[provider.Other]
type = "mock"
[provider.keyed]
type = "openai"
token = { type = "file", path = "/x" }
[processor.rules]
type = "system_prompt"
[processor.bounds]
type = "parameters"
set = { store = false }
clamp = { max_tokens = { max = 1 } }
[[route]]
name = "chat"
"""


def overridden(text: str = TEXT, **variables: str) -> tuple[Source, list[str]]:
    source = parse(text, "c.toml")
    problems = override(source, {f"LLM_PROXY__{key}": value for key, value in variables.items()})
    return source, problems


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("SERVER__LISTEN", "127.0.0.1:1", "server.listen", "127.0.0.1:1"),
        ("SERVER__LISTEN", '["a", "b"]', "server.listen", ["a", "b"]),
        ("server__Listen", "x", "server.listen", "x"),
        ("SERVER__LISTEN", '[{ address = "a" }]', "server.listen", [{"address": "a"}]),
        ("SERVER__ADMIN_LISTEN", "127.0.0.1:1", "server.admin_listen", "127.0.0.1:1"),
        ("SERVER__ADMIN_LISTEN", '{ address = "a" }', "server.admin_listen", {"address": "a"}),
        (
            "SERVER__ADMIN_LISTEN__ADDRESS",
            "127.0.0.1:1",
            "server.admin_listen.address",
            "127.0.0.1:1",
        ),
        ("GLOBAL__IDLE_TIMEOUT", "30s", "global.idle_timeout", "30s"),
        ("GLOBAL__IDLE_TIMEOUT", "30", "global.idle_timeout", "30"),
        ("GLOBAL__IDLE_TIMEOUT", '"30s"', "global.idle_timeout", "30s"),
        ("MONITORING__METRICS", "false", "monitoring.metrics", False),
        ("MONITORING__METRICS", "nope", "monitoring.metrics", "nope"),
        ("MONITORING__LOG__LEVEL", "debug", "monitoring.log.level", "debug"),
        ("PROVIDER__MY_OWN__URL", "http://x/v1", "provider.my-own.url", "http://x/v1"),
        (
            "PROVIDER__MY_OWN__URL",
            '["http://x/v1", "http://y/v1"]',
            "provider.my-own.url",
            ["http://x/v1", "http://y/v1"],
        ),
        (
            "PROVIDER__MY_OWN__TOKEN",
            '["env:A", "env:B"]',
            "provider.my-own.token",
            ["env:A", "env:B"],
        ),
        ("PROVIDER__MY_OWN__TOKEN", "5", "provider.my-own.token", "5"),
        ("PROVIDER__MY_OWN__TOKEN", "env:X", "provider.my-own.token", "env:X"),
        ("PROVIDER__OTHER__SEED", "7", "provider.Other.seed", 7),
        ("PROVIDER__OTHER__TTFT", "7", "provider.Other.ttft", "7"),
        ("PROVIDER__KEYED__TOKEN__PATH", "/y", "provider.keyed.token.path", "/y"),
        ("PROCESSOR__RULES__TEXT", "2024", "processor.rules.text", "2024"),
        ("PROCESSOR__RULES__TEXT", "1\nb = 2", "processor.rules.text", "1\nb = 2"),
        ("PROCESSOR__BOUNDS__SET__SEED", "1", "processor.bounds.set.seed", 1),
        ("PROCESSOR__BOUNDS__DROP", '["a"]', "processor.bounds.drop", ["a"]),
        (
            "PROCESSOR__BOUNDS__CLAMP__MAX_TOKENS__MAX",
            "9",
            "processor.bounds.clamp.max_tokens.max",
            9,
        ),
    ],
)
def test_a_variable_sets_a_key_and_is_named_as_its_place(
    name: str, value: str, path: str, expected: object
) -> None:
    source, problems = overridden(**{name: value})
    node: Any = source.tree
    for key in path.split("."):
        node = node[key]

    assert problems == []
    assert node == expected
    assert type(node) is type(expected)
    assert source.at(tuple(path.split("."))) == f"LLM_PROXY__{name}: [{path}]"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "SERVER__LISTN",
            "x",
            "unknown key in [server] (known: listen, admin_listen, workers, stall_timeout, "
            "max_body_size, head_timeout, body_timeout, keepalive_timeout, drain_delay, "
            "drain_timeout, watch; did you mean "
            '"listen"?)',
        ),
        (
            "SERVRE__LISTEN",
            "x",
            "unknown section (known: server, global, provider, processor, route, security, "
            'monitoring; did you mean "server"?)',
        ),
        ("", "x", "unknown section (known: server,"),
        ("SERVER", "x", "[server] is a table: say which key of it (known: listen,"),
        ("PROVIDER", "x", "[provider] is a table: say which key of it (known: my-own, Other, ke"),
        ("PROVIDER__MY_OWN", "x", "[provider.my-own] is a table: say which key of it (known: ty"),
        (
            "PROVIDER__MY_OWM__URL",
            "x",
            'unknown provider (known: my-own, Other, keyed; did you mean "my-own"?)',
        ),
        ("PROVIDER__OTHER__URL", "x", "unknown key in [provider.Other] (known: type, ttft, itl,"),
        ("PROCESSOR__RULES__TXT", "x", "unknown key in [processor.rules] (known: text; did you m"),
        (
            "PROCESSOR__BOUNDS__CLAMP__SEED__MAX",
            "1",
            "unknown processor.bounds.clamp (known: max_tokens)",
        ),
        ("ROUTE", "x", "[[route]] is an array of tables, which no variable can set"),
        ("ROUTE__0__NAME", "x", "[[route]] is an array of tables, which no variable can set"),
        ("ROUTE__CHAT__NAME", "x", "[[route]] is an array of tables, which no variable can set"),
        ("SERVER__LISTEN__0", "x", "[server.listen] is no table"),
        ("SERVER__LISTEN__ADDRESS", "x", "[server.listen] is no table"),
        ("PROVIDER__MY_OWN__TOKEN__PATH", "x", "[provider.my-own.token] is no table"),
        ("SERVER__LISTEN", "", "is empty (unset it, or give it a value)"),
        ("SERVER__LISTEN", "\udcff", "it is not UTF-8"),
    ],
)
def test_a_variable_that_sets_nothing_is_a_problem(name: str, value: str, problem: str) -> None:
    source, problems = overridden(**{name: value})

    assert len(problems) == 1
    assert problems[0].startswith(f"LLM_PROXY__{name}: {problem}")
    assert source.tree == parse(TEXT, "c.toml").tree


def test_two_spellings_of_one_key_are_a_problem() -> None:
    _, problems = overridden(SERVER__LISTEN="a", SERVER__listen="b")

    assert problems == ["LLM_PROXY__SERVER__listen: LLM_PROXY__SERVER__LISTEN is the same key"]


def test_no_variable_sets_a_key_of_what_is_written_as_a_string() -> None:
    _, problems = overridden(SERVER__ADMIN_LISTEN="a", SERVER__ADMIN_LISTEN__ADDRESS="b")

    assert problems == [
        "LLM_PROXY__SERVER__ADMIN_LISTEN__ADDRESS: [server.admin_listen] is no table"
    ]


def test_a_type_is_set_before_the_keys_that_it_has() -> None:
    source, problems = overridden(PROVIDER__OTHER__TOKEN="env:X", PROVIDER__OTHER__TYPE="vllm")

    assert problems == []
    assert source.tree["provider"]["Other"] == {"type": "vllm", "token": "env:X"}


def test_other_variables_mean_nothing() -> None:
    source = parse(TEXT, "c.toml")
    others = {"LLM_PROXY_PORT": "tcp://10.0.0.1:80", "LLM_PROXY_SERVER__LISTEN": "x", "X": "y"}

    assert override(source, others) == []
    assert source.tree == parse(TEXT, "c.toml").tree


def test_what_is_no_table_in_the_file_is_left_for_validation() -> None:
    for text in ("server = 5", "provider = 1", "[provider]\nx = 1", '[processor.x]\ntype = "no"'):
        source = parse(text, "c.toml")
        variables = ("SERVER__LISTEN", "PROVIDER__X__URL", "PROCESSOR__X__TEXT")
        override(source, {PREFIX + name: "x" for name in variables})
        assert set(parse(text, "c.toml").tree) <= set(source.tree)


@given(
    st.dictionaries(st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")), st.text(max_size=9))
)
def test_any_variables_set_a_key_or_are_a_problem(variables: dict[str, str]) -> None:
    _, problems = overridden(**variables)

    assert all(problem.startswith(PREFIX) for problem in problems)


ENVIRON = {"NAME": "value", "EMPTY": "", "BYTES": "\udcff", "REFERENCE": "${NAME}$$"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${NAME}", "value"),
        ("a ${NAME}, ${NAME}!", "a value, value!"),
        ("${NAME:-default}", "value"),
        ("${MISSING:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b $ c{}", "a:-b $ c{"),
        ("$5, $NAME, 5$", "$5, $NAME, 5$"),
        ("$${NAME}", "${NAME}"),
        ("$$", "$"),
        ("$$$$", "$$"),
        ("$$${NAME}", "$value"),
        ("${REFERENCE}", "${NAME}$$"),
    ],
)
def test_a_reference_is_replaced(text: str, expected: str) -> None:
    assert interpolate(text, ENVIRON) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "${MISSING}",
            'the environment variable MISSING is not set ("${MISSING:-…}" would have a default)',
        ),
        ("a${EMPTY}", 'the environment variable EMPTY is empty ("${EMPTY:-…}" would have'),
        ("${BYTES}", "the environment variable BYTES is not UTF-8"),
        ("canary ${", 'holds a "${" that begins no reference (expected "${NAME}" or "${NAME:-de'),
        ("canary ${NAME", 'holds a "${" that begins no reference'),
        ("${}", 'holds a "${" that begins no reference'),
        ("${1x}", 'holds a "${" that begins no reference'),
        ("${NAME-x}", 'holds a "${" that begins no reference'),
        ("${MISSING:-${NAME}}", 'holds a "${" that begins no reference'),
    ],
)
def test_a_reference_to_nothing_is_a_problem(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        interpolate(text, ENVIRON)

    assert str(raised.value).startswith(problem)
    assert "canary" not in str(raised.value)


@given(st.text())
def test_escaped_text_stays_as_it_is(text: str) -> None:
    assert interpolate(text.replace("$", "$$"), {}) == text


def test_every_string_of_a_tree_is_looked_at_and_every_problem_told() -> None:
    source = parse('a = "${NAME}"\n"${NAME}" = [1, "${X}", { b = "$$" }]', "c.toml")
    problems = []
    interpolate_all(source, ENVIRON, lambda path, error: problems.append((path, str(error)[:26])))

    assert source.tree == {"a": "value", "${NAME}": [1, "${X}", {"b": "$"}]}
    assert problems == [(("${NAME}", 1), "the environment variable X")]
