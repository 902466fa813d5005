"""What differs between two configurations."""

import msgspec
import pytest

from proxy.config.changes import changes
from proxy.config.load import TEXT, Overrides, load
from proxy.config.sections import Settings

BEFORE = """
[server]
drain_timeout = "30s"
[provider.a]
type = "openai_compatible"
url = "http://a/v1"
token = "env:KEY"
[provider.b]
type = "mock"
[processor.rules]
type = "system_prompt"
text = "Be kind."
[processor.bounds]
type = "parameters"
default = { temperature = 0.2 }
[[route]]
name = "one"
models = ["x"]
processors = ["rules", "bounds"]
targets = ["a/big"]
[[route]]
name = "two"
targets = ["b"]
"""


DEBUG = '[monitoring.log]\nlevel = "debug"'


def settings(text: str) -> Settings:
    environ = {"KEY": "sk-1", "OTHER": "sk-2", TEXT: text}
    return load(None, environ=environ, overrides=Overrides()).settings


def said(after: str) -> list[str]:
    return [str(change) for change in changes(settings(BEFORE), settings(after))]


def test_nothing_differs_from_itself() -> None:
    assert said(BEFORE) == []
    assert said(f"# only a comment\n{BEFORE}") == []


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("30s", "1m", '[server.drain_timeout] "30s" became "1m"'),
        ("http://a/", "http://b/", '[provider.a.url] "http://a/v1" became "http://b/v1"'),
        ("env:KEY", "env:OTHER", '[provider.a.token] "env:KEY" became "env:OTHER"'),
        ('token = "env:KEY"\n', "", '[provider.a.token] "env:KEY" became nothing'),
        ("Be kind.", "Be brief.", '[processor.rules.text] "Be kind." became "Be brief."'),
        ("Be kind.", "x" * 300, f'[processor.rules.text] "Be kind." became "{"x" * 199}…'),
        ("0.2 }", "0.3 }", "[processor.bounds.default.temperature] 0.2 became 0.3"),
        ("{ temp", "{ top_p = 1, temp", "[processor.bounds.default.top_p] added"),
        ('["x"]', '["x", "y"]', '[route.one.models] ["x"] became ["x", "y"]'),
        ("a/big", "a/small", '[route.one.targets] ["a/big"] became ["a/small"]'),
        ("[server]", f"{DEBUG}\n[server]", '[monitoring.log.level] "info" became "debug"'),
    ],
)
def test_each_key_that_differs_is_told(old: str, new: str, change: str) -> None:
    assert said(BEFORE.replace(old, new, 1)) == [change]


def test_a_literal_secret_that_differs_is_told_and_not_shown() -> None:
    one, two = (settings(BEFORE.replace("env:KEY", f"literal:canary-{n}")) for n in "12")
    [change] = changes(one, two)

    assert str(change) == "[provider.a.token] changed"
    assert b"canary" not in msgspec.json.encode(change)


def test_what_comes_and_goes_and_what_is_of_another_kind() -> None:
    after = BEFORE.replace("provider.b]", "provider.c]").replace('targets = ["b"]', 'targets = "c"')
    after = after.replace('name = "two"', 'name = "three"')
    after = after.replace('type = "system_prompt"\ntext = "Be kind."', 'type = "parameters"')
    found = changes(settings(BEFORE), settings(after))

    assert [(change.key, change.what) for change in found] == [
        ("provider.b", "removed"),
        ("provider.c", "added"),
        ("processor.rules", "changed"),
        ("route.two", "removed"),
        ("route.three", "added"),
    ]
    assert str(found[0]) == "[provider.b] removed"
    assert found[2].before == {"type": "system_prompt", "text": "Be kind."}


def test_routes_in_another_order() -> None:
    head, one, two = BEFORE.split("[[route]]")
    assert said("[[route]]".join((head, two, one))) == ["[route] moved"]


def test_a_relative_path_that_starts_from_another_folder() -> None:
    one, two = settings(BEFORE), settings(BEFORE)
    provider = two.provider["a"]
    assert hasattr(provider, "token")
    vars(provider.token)["_directory"] = "/elsewhere"

    [change] = changes(one, two)
    assert (change.key, change.what) == ("provider.a.token", "changed")
