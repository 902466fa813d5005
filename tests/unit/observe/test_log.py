"""The log: one record is one line, whatever stands in its fields."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import NoRoute, ProviderBroke, ProxyError
from proxy.event import Usage
from proxy.exchange import Exchange, ParsedRequest
from proxy.observe.log import LEVELS, MAX_PATH, Log, LogHandler, open_log
from tests.unit.conftest import Request, exchange_of


class Writer:
    """Keeps lines."""

    dropped = 0

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.flushed = 0
        self.finished = False

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        self.flushed = len(self.lines)

    def finish(self, seconds: float) -> None:
        assert seconds > 0
        self.finished = True

    @property
    def last(self) -> dict[str, Any]:
        """The last line, which is one JSON object and one line."""
        line = self.lines[-1]
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        decoded: dict[str, Any] = msgspec.json.decode(line)
        assert len(decoded) == len(json.loads(line, object_pairs_hook=list)), "a key stands twice"
        return decoded


@pytest.fixture
def writer() -> Writer:
    return Writer()


def finished(request: Request | None = None, error: ProxyError | None = None) -> Exchange:
    exchange = exchange_of(request)
    exchange.status, exchange.ended_at, exchange.error = 200, 1.5, error
    return exchange


def test_the_line_of_an_exchange_says_what_is_known_of_it(writer: Writer) -> None:
    exchange = finished(Request(path="/v1/chat/completions"))
    exchange.parsed = ParsedRequest(raw=b"", model="gpt-x", stream=True)
    exchange.route, exchange.dialect = "chat", "openai_chat"
    exchange.provider, exchange.model, exchange.attempts = "a", "gpt-x", 2
    exchange.bytes_in, exchange.bytes_out = 10, 20
    exchange.usage = Usage(input_tokens=3, output_tokens=4)
    exchange.read_at, exchange.sent_at, exchange.head_at = 1.0, 1.0625, 1.25
    exchange.started_at, exchange.first_at, exchange.events = 1.3125, 1.375, True
    exchange.end(exchange.ended_at)
    Log(writer).exchange(exchange)

    line = writer.last
    assert line.pop("ts").count("T") == 1
    assert line == {
        "level": "info",
        "event": "exchange",
        "request_id": "id-1",
        "client": "127.0.0.1:50000",
        "method": "POST",
        "path": "/v1/chat/completions",
        "route": "chat",
        "dialect": "openai_chat",
        "provider": "a",
        "model": "gpt-x",
        "status": 200,
        "attempts": 2,
        "stream": True,
        "bytes_in": 10,
        "bytes_out": 20,
        "input_tokens": 3,
        "output_tokens": 4,
        "total_ms": 500.0,
        "head_ms": 312.5,
        "first_ms": 375.0,
        "proxy_ms": 125.0,
    }


def test_tokens_of_a_cache_and_of_reasoning_are_said_if_there_are_any(writer: Writer) -> None:
    exchange = finished()
    exchange.usage = Usage(9, 8, reasoning_tokens=7)
    Log(writer).exchange(exchange)

    line = writer.last
    assert [line[f"{kind}_tokens"] for kind in ("input", "output", "cached", "reasoning")] == [
        *(9, 8, 0, 7),
    ]
    assert line["cache_write_tokens"] == 0


def test_what_is_not_known_is_left_out(writer: Writer) -> None:
    Log(writer).exchange(finished())

    assert set(writer.last) == {
        *("ts", "level", "event", "request_id", "client", "method", "path", "status"),
        *("attempts", "stream", "bytes_in", "bytes_out", "total_ms"),
    }


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (None, "info"),
        (NoRoute("x"), "info"),
        (ProviderBroke("x", status=499), "info"),
        (ProviderBroke("x", status=500), "warning"),
        (ProviderBroke("x"), "warning"),
    ],
)
def test_what_went_wrong_on_this_side_is_a_warning(
    writer: Writer, error: ProxyError | None, level: str
) -> None:
    Log(writer).exchange(finished(error=error))

    assert writer.last["level"] == level


def test_an_error_tells_its_code_its_cause_and_how_far_the_exchange_came(writer: Writer) -> None:
    error = ProviderBroke("the connection broke")
    error.__cause__ = ConnectionResetError('a "reset"\n')
    exchange = finished(error=error)
    exchange.phase = "streaming"
    Log(writer).exchange(exchange)

    line = writer.last
    assert (line["error"], line["phase"]) == ("provider.broke", "streaming")
    assert line["message"] == 'the connection broke (ConnectionResetError: a "reset"\n)'


NASTY = 'a"b\\c\n\r\t\x00\x1b[31m\u2028\u202e é€😀'


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "field", ["method", "path", "peer", "route", "dialect", "provider", "model", "message", "cause"]
)
def test_a_record_is_one_line_whatever_stands_in_it(
    writer: Writer, form: Literal["json", "text"], field: str
) -> None:
    request = Request()
    error = ProviderBroke(NASTY if field == "message" else "x")
    error.__cause__ = ValueError(NASTY) if field == "cause" else None
    exchange = finished(request, error)
    if hasattr(request, field):
        setattr(request, field, NASTY)
    elif hasattr(exchange, field):
        setattr(exchange, field, NASTY)
    Log(writer, form=form, place={"pod": NASTY}).exchange(exchange)

    if form == "json":
        line = writer.last
        key = {"peer": "client", "cause": "message"}.get(field, field)
        assert NASTY in line[key]
        assert line["pod"] == NASTY
    else:
        text = writer.lines[-1].decode()
        assert text.endswith("\n")
        assert text[:-1].isprintable()


def test_a_long_path_is_cut(writer: Writer) -> None:
    for log in (Log(writer), Log(writer, form="text")):
        log.exchange(finished(Request(path="/" + "x" * 5000)))

        assert b"/" + b"x" * (MAX_PATH - 1) in writer.lines[-1]
        assert b"x" * MAX_PATH not in writer.lines[-1]


def test_names_are_spelled_right_however_many_there_were_before(writer: Writer) -> None:
    log = Log(writer)
    for turn in range(2):
        for number in range(3000):
            exchange = finished(Request(path=f"/{number}"))
            exchange.model = f"m-{number}-{turn}"
            log.exchange(exchange)
            assert writer.last["path"] == f"/{number}"
            assert writer.last["model"] == f"m-{number}-{turn}"
    assert len(log._names) < 2000


def test_a_line_for_people_says_the_most_important_in_order(writer: Writer) -> None:
    exchange = finished(error=NoRoute("no route takes it"))
    exchange.status, exchange.provider, exchange.model = 404, "a", "m"
    exchange.usage = Usage(input_tokens=3, output_tokens=4)
    Log(writer, form="text").exchange(exchange)
    time, rest = writer.lines[0].decode().split(" ", 1)

    assert len(time) == len("12:00:00")
    assert rest == (
        "info    404 POST /v1/chat/completions a/m 500.0ms 3+4tok "
        "proxy.no_route: no route takes it id-1\n"
    )


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_less_severe_than_the_level_is_not_logged(writer: Writer, level: str) -> None:
    log = Log(writer, level=level)
    for each in LEVELS:
        log.say(each, "x", each)
    log.exchange(finished())

    said = [json.loads(line)["level"] for line in writer.lines]
    wanted = list(LEVELS)[list(LEVELS).index(level) :]
    assert said == wanted + (["info"] if LEVELS[level] <= LEVELS["info"] else [])


def test_the_programs_own_story_is_written_at_once(writer: Writer) -> None:
    log = Log(writer, place={"pod": "p"})
    log.exchange(finished())
    assert writer.flushed == 0
    log.say("info", "ready", "data on é", data=["http://a"], admin=None)

    assert writer.flushed == 2
    line = writer.last
    assert line.pop("ts")
    assert line == {
        "level": "info",
        "event": "ready",
        "message": "data on é",
        "data": ["http://a"],
        "admin": None,
        "pod": "p",
    }


def test_people_get_the_message_alone(writer: Writer) -> None:
    Log(writer, form="text").say("info", "ready", "data on\na", data=["http://a"])

    assert writer.lines[0].decode().split(" ", 1)[1] == "info    ready: data on\\na\n"


@pytest.mark.parametrize(
    ("nanoseconds", "stamp"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_999_999_999, "2023-11-14T22:13:20.999Z"),
        (1_709_251_199_001_000_000, "2024-02-29T23:59:59.001Z"),
    ],
)
def test_a_line_is_stamped_in_utc(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, nanoseconds: int, stamp: str
) -> None:
    log = Log(writer)
    log.say("info", "x", "now")
    monkeypatch.setattr("proxy.observe.log.time.time_ns", lambda: nanoseconds)
    log.say("info", "x", "then")

    assert writer.last["ts"] == stamp


@given(st.text(), st.dictionaries(st.text(max_size=5), st.text()))
def test_whatever_is_said_is_one_line(message: str, fields: dict[str, str]) -> None:
    """Invariant: in either form, with anything in it."""
    fields = {f"x{name}": value for name, value in fields.items() if name.isascii()}
    writer = Writer()
    Log(writer).say("info", "e", message, **fields)
    assert {key: writer.last[key] for key in fields} == fields
    assert writer.last["message"] == message
    Log(writer, form="text").say("info", "e", message, **fields)
    assert writer.lines[-1].decode()[:-1].isprintable()


def test_what_waits_is_written_when_it_must_be(writer: Writer) -> None:
    log = Log(writer)
    log.exchange(finished())
    log.flush()

    assert writer.flushed == 1


def test_lost_lines_are_the_writers(writer: Writer) -> None:
    writer.dropped = 3

    assert Log(writer).lost_lines == 3


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (logging.CRITICAL, "error"),
        (logging.ERROR, "error"),
        (35, "warning"),
        (logging.INFO, "info"),
        (logging.DEBUG, "debug"),
        (1, "debug"),
    ],
)
def test_a_librarys_record_comes_into_the_log(writer: Writer, number: int, level: str) -> None:
    record = logging.LogRecord("lib.x", number, "f", 1, "it is %s", ("é",), None)
    LogHandler(Log(writer, level="debug")).emit(record)

    line = writer.last
    assert (line["level"], line["event"], line["message"]) == (level, "log", "it is é")
    assert line["logger"] == "lib.x"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_stays_on_the_line(writer: Writer, form: Literal["json", "text"]) -> None:
    try:
        raise LookupError("lost")
    except LookupError as error:
        info = (LookupError, error, error.__traceback__)
    record = logging.LogRecord("lib", logging.ERROR, "f", 1, "it failed", (), info)
    LogHandler(Log(writer, form=form)).emit(record)

    [line] = writer.lines
    assert line.count(b"\n") == 1
    assert b"it failed\\nTraceback" in line
    assert b"LookupError: lost" in line


class Stderr(io.StringIO):
    def fileno(self) -> int:
        return 2


@pytest.mark.parametrize(
    ("form", "terminal", "text"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("json", True, False),
        ("text", False, True),
    ],
)
def test_the_processs_log_is_text_on_a_terminal(
    form: Literal["auto", "json", "text"],
    terminal: bool,
    text: bool,
    root: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = Writer()
    monkeypatch.setattr("proxy.observe.log.sys.stderr", Stderr())
    monkeypatch.setattr("proxy.observe.log.os.isatty", lambda fd: terminal)
    environ = {"POD_NAME": "p", "NODE_NAME": "", "POD_NAMESPACE": "ns", "OTHER": "x"}
    log = open_log("info", form, environ, writer=writer)  # type: ignore[arg-type]
    log.say("info", "ready", "here")
    logging.getLogger("some.library").warning("watch out")
    logging.getLogger("some.library").info("never mind")
    logging.getLogger("proxy").debug("nor this")

    assert [line.startswith(b"{") for line in writer.lines] == [not text] * 2
    logging.getLogger("proxy").info("read again")
    assert b"read again" in writer.lines.pop()
    if not text:
        assert writer.last["message"] == "watch out"
        assert (writer.last["pod"], writer.last["namespace"]) == ("p", "ns")
        assert "node" not in writer.last


def test_the_last_lines_are_waited_for() -> None:
    writer = Writer()
    Log(writer).finish()

    assert writer.finished
