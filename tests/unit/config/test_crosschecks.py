import pytest

from proxy.config.source import parse
from proxy.config.validation import validate

MOCK = '[provider.mock]\ntype = "mock"\n'


def warnings_of(text: str) -> list[str]:
    return [w.removeprefix("c.toml:") for w in validate(parse(text, "c.toml"), {})[1]]


def routes(*bodies: str) -> str:
    """Routes a, b, c …, each in three lines, to the mock: the first begins in line 3."""
    tables = (
        f'[[route]]\nname = "{name}"\ntargets = "mock"; {body}'.replace("; ", "\n")
        for name, body in zip("abcdef", bodies, strict=False)
    )
    return MOCK + "\n".join(tables)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "proxy.example:1"])
def test_an_admin_listener_for_everybody_is_warned_about(address: str) -> None:
    assert warnings_of(MOCK + f'[server]\nadmin_listen = "{address}"') == [
        f"4: [server.admin_listen]: whoever can reach {address} may read health and metrics"
    ]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "unix:/run/x", "none"])
def test_an_admin_listener_for_this_machine_is_not(address: str) -> None:
    assert warnings_of(MOCK + f'[server]\nadmin_listen = "{address}"') == []


def test_what_no_route_uses_is_warned_about() -> None:
    text = """\
[provider.a]
type = "mock"
[provider.b]
type = "mock"
[processor.x]
type = "parameters"
[processor.y]
type = "parameters"
[[route]]
targets = "a"
processors = "x"
"""
    assert warnings_of(text) == [
        "3: [provider.b]: no route uses it",
        "7: [processor.y]: no route uses it",
    ]


def test_without_routes_the_only_provider_is_used_and_a_processor_is_not() -> None:
    assert warnings_of(MOCK) == []
    assert warnings_of(MOCK + '[processor.x]\ntype = "parameters"') == [
        "3: [processor.x]: no route uses it"
    ]


BEFORE = "the total_timeout of 1m ends the exchange before"


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ('[global]\ntotal_timeout = "1m"', []),
        ('[global]\ntotal_timeout = "1m"\nidle_timeout = "1m"', []),
        (
            '[global]\ntotal_timeout = "1m"\nidle_timeout = "2m"',
            [f"[global.idle_timeout]: {BEFORE}"],
        ),
        ('[global]\ntotal_timeout = "1m"\nidle_timeout = "0s"', []),
        (
            '[provider.mock]\ntype = "mock"\ntotal_timeout = "1m"\nidle_timeout = "2m"',
            [f"[provider.mock.idle_timeout]: {BEFORE}"],
        ),
        (
            '[global]\ntotal_timeout = "1m"\n[provider.mock]\ntype = "mock"\nidle_timeout = "2m"',
            [f"[provider.mock.idle_timeout]: {BEFORE}"],
        ),
        (
            '[global]\ntotal_timeout = "1m"\n[provider.mock]\ntype = "mock"\nidle_timeout = "2m"\n'
            'total_timeout = "0s"',
            [],
        ),
        (
            '[global]\ntotal_timeout = "1m"\n[[route]]\ntargets = "mock"\nidle_timeout = "2m"',
            [f"[route.1.idle_timeout]: {BEFORE}"],
        ),
        (
            '[[route]]\ntargets = "mock"\nidle_timeout = "2m"\ntotal_timeout = "1m"',
            [f"[route.1.idle_timeout]: {BEFORE}"],
        ),
        (
            '[provider.mock]\ntype = "mock"\ntotal_timeout = "1m"\n'
            '[provider.other]\ntype = "mock"\n'
            '[[route]]\ntargets = ["mock", "other"]\nidle_timeout = "2m"',
            [],
        ),
        (
            '[provider.mock]\ntype = "mock"\nidle_timeout = "2m"\n'
            '[[route]]\ntargets = "mock"\ntotal_timeout = "1m"',
            [],
        ),
    ],
)
def test_a_timeout_longer_than_the_whole_is_warned_about_where_it_is_written(
    text: str, warnings: list[str]
) -> None:
    if "provider.mock" not in text:
        text = f"{text}\n{MOCK}"

    assert [warning.partition(": ")[2] for warning in warnings_of(text)] == warnings


UNREAD = "is no endpoint of a dialect"


@pytest.mark.parametrize(
    ("body", "warnings"),
    [
        ('path = "/v1/files/*"', []),
        ('path = ["/v1/files/*", "/v1/chat/completions"]; models = "x"', []),
        ('path = "/v1/*"; models = "x"', []),
        (
            'path = "/v1/files/*"; models = "x"',
            ['7: [route.a.models]: no request matches: what "/v1/files/*" takes ' + UNREAD],
        ),
        (
            'path = ["/v1/files", "/v1/audio/*"]; processors = "p"',
            [
                '7: [route.a.processors]: they never run: what "/v1/files" and "/v1/audio/*" '
                "takes " + UNREAD
            ],
        ),
    ],
)
def test_what_a_route_cannot_do_where_it_reads_nothing_is_warned_about(
    body: str, warnings: list[str]
) -> None:
    text = routes(body) + '\n[processor.p]\ntype = "parameters"'
    found = [warning for warning in warnings_of(text) if "no route uses it" not in warning]

    assert [warning.partition(UNREAD)[0] + UNREAD for warning in found] == warnings


def test_where_nothing_is_read_only_the_first_target_is_reached_and_no_model_is_asked_for() -> None:
    text = MOCK + '[[route]]\npath = "/v1/files"\ntargets = [\n"mock/x",\n"mock",\n"mock"]'

    assert [warning.partition(": what")[0] for warning in warnings_of(text)] == [
        "6: [route.1.targets.1]: its model is not asked for",
        "7: [route.1.targets.2]: is never reached",
        "8: [route.1.targets.3]: is never reached",
    ]


@pytest.mark.parametrize(
    "bodies",
    [
        ("", ""),
        ('models = "x"', "", 'models = "y"'),
        ('models = "gpt-*"', 'models = "gpt-4"'),
        ('models = "gpt-*"', 'models = ["gpt-4*", "gpt-4o-mini"]'),
        ('models = "*"', 'models = "[ab]?"'),
        ('models = "[ab]?"', 'models = "[ab]?"'),
        ('models = "gpt-?"', 'models = "gpt-4"'),
        ('models = ["a", "b"]', 'models = ["b", "a"]'),
        ('models = "a"', 'models = "b"', 'models = ["b", "a"]'),
        ("", 'path = "/v1/chat/completions"'),
        ('path = "/*"', ""),
        ('path = "/v1/*"', 'path = "/v1/chat/*"'),
        ('path = "/v1/*"', 'path = ["/v1/files", "/v1/audio/*"]'),
        ('path = "/*"', 'path = "/v1/*"; models = "x"'),
    ],
)
def test_a_route_that_the_ones_before_it_leave_nothing_is_warned_about(
    bodies: tuple[str, ...],
) -> None:
    last = "abcdef"[len(bodies) - 1]
    warnings = [warning for warning in warnings_of(routes(*bodies)) if "never taken" in warning]

    assert len(warnings) == 1
    assert f"[route.{last}]: is never taken: " in warnings[0]


@pytest.mark.parametrize(
    "bodies",
    [
        ('models = "x"', ""),
        ('models = "*"', ""),
        ('models = "x"', 'models = ["x", "y"]'),
        ('models = "gpt-4*"', 'models = "gpt-*"'),
        ('models = "[ab]*"', 'models = "a*"'),
        ('path = "/v1/chat/completions"', ""),
        ("", 'path = "/v1/*"'),
        ("", 'path = "/v1/files"'),
        ('path = "/v1/files/*"', 'path = "/v1/files"'),
        ('path = "/v1/chat/completions"; models = "a"', 'models = "a"'),
    ],
)
def test_a_route_that_is_left_something_is_not(bodies: tuple[str, ...]) -> None:
    assert warnings_of(routes(*bodies)) == []


def test_who_hides_a_route_is_named_once() -> None:
    text = routes('models = ["a", "b"]', 'models = "c"', 'models = ["b", "c", "a"]')

    assert warnings_of(text) == [
        '11: [route.c]: is never taken: "a" and "b" before it takes it all'
    ]
