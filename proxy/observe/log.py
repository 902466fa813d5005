"""The log: one line per exchange, and the lines of the program's own story.

JSON for machines, text for people at a terminal; one record is one line, whatever stands in its
fields. Never a body, never a credential.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import msgspec

from proxy.errors import ProxyError
from proxy.exchange import Exchange
from proxy.observe.lines import LineWriter

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Format = Literal["auto", "json", "text"]

_PLACE = {"pod": "POD_NAME", "namespace": "POD_NAMESPACE", "node": "NODE_NAME"}


class ExchangeLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The line that ends an exchange. Times are milliseconds, sizes bytes."""

    ts: str
    level: str
    event: str
    request_id: str
    method: str
    path: str
    client: str
    route: str | None = None
    dialect: str | None = None
    provider: str | None = None
    model: str | None = None
    status: int
    error: str | None = None
    message: str | None = None
    phase: str | None = None
    attempts: int
    stream: bool
    bytes_in: int
    bytes_out: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    head_ms: float | None = None
    first_ms: float | None = None
    total_ms: float
    proxy_ms: float | None = None


class Writer(Protocol):
    """Where lines go."""

    dropped: int
    """Lines that were lost."""

    def write(self, line: bytes) -> None:
        """Write a line, its line end included, soon."""

    def flush(self) -> None:
        """Write what waits to be written."""


class Log:
    """Writes the log; an observer of exchanges by its `exchange` method."""

    def __init__(
        self,
        writer: Writer,
        *,
        level: str = "info",
        form: Literal["json", "text"] = "json",
        place: Mapping[str, str] | None = None,
    ) -> None:
        """`place`: fields that stand on every line, such as the pod's name."""
        self._writer = writer
        self._threshold = LEVELS[level]
        self._text = form == "text"
        self._place = b"".join(
            b",%b:%b" % (msgspec.json.encode(name), msgspec.json.encode(value))
            for name, value in (place or {}).items()
        )
        self._second = -1
        self._prefix = ""

    def exchange(self, exchange: Exchange) -> None:
        """Write the one line of a finished exchange."""
        error = exchange.error
        level = "warning" if error is not None and error.status >= 500 else "info"
        if LEVELS[level] < self._threshold:
            return
        start = exchange.received_at
        usage = exchange.usage
        line = ExchangeLine(
            ts=self._now(),
            level=level,
            event="exchange",
            request_id=exchange.id,
            method=exchange.request.method,
            path=exchange.request.path[:200],
            client=exchange.request.peer,
            route=exchange.route or None,
            dialect=exchange.dialect or None,
            provider=exchange.provider or None,
            model=exchange.model or None,
            status=exchange.status,
            error=None if error is None else error.code,
            message=None if error is None else _explain(error),
            phase=None if error is None else exchange.phase,
            attempts=exchange.attempts,
            stream=exchange.stream,
            bytes_in=exchange.bytes_in,
            bytes_out=exchange.bytes_out,
            input_tokens=None if usage is None else usage.input_tokens,
            output_tokens=None if usage is None else usage.output_tokens,
            head_ms=_since(start, exchange.started_at),
            first_ms=_since(start, exchange.first_at),
            total_ms=round((exchange.ended_at - start) * 1000, 3),
            proxy_ms=round(exchange.overhead * 1000, 3) if exchange.sent_at else None,
        )
        self._writer.write(_as_text(line) if self._text else self._as_json(line))

    def say(self, level: str, event: str, message: str, /, **fields: Any) -> None:
        """Write a line of the program's own story at once: it is rare, and it may be the last.

        `fields` are for machines; the message says the same to people.
        """
        if LEVELS[level] < self._threshold:
            return
        if self._text:
            line = f"{self._now()[11:19]} {level:7} {event}: {_plain(message)}\n".encode()
        else:
            head = {"ts": self._now(), "level": level, "event": event, "message": message}
            line = self._as_json(head | fields)
        self._writer.write(line)
        self._writer.flush()

    def flush(self) -> None:
        """Write what waits to be written."""
        self._writer.flush()

    @property
    def lost_lines(self) -> int:
        """Lines that nobody took in time."""
        return self._writer.dropped

    def _as_json(self, line: object) -> bytes:
        return msgspec.json.encode(line)[:-1] + self._place + b"}\n"

    def _now(self) -> str:
        now = datetime.now(UTC)
        second = now.second + 60 * now.minute + 3600 * now.hour
        if second != self._second:
            self._second = second
            self._prefix = now.strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._prefix}.{now.microsecond // 1000:03d}Z"


class LogHandler(logging.Handler):
    """Brings the libraries' and our own `logging` records into the log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = next((n for n, at in reversed(LEVELS.items()) if record.levelno >= at), "debug")
        message, fields = record.getMessage(), {"logger": record.name}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
            message = f"{message}\n{fields['traceback']}"
        self._log.say(level, "log", message, **fields)


def open_log(
    level: str, form: Format, environ: Mapping[str, str], *, writer: LineWriter | None = None
) -> Log:
    """The process's log on stderr; "auto" is text on a terminal, else JSON."""
    if form == "auto":
        form = "text" if os.isatty(sys.stderr.fileno()) else "json"
    place = {name: environ[key] for name, key in _PLACE.items() if environ.get(key)}
    log = Log(writer or LineWriter(sys.stderr.fileno()), level=level, form=form, place=place)
    root = logging.getLogger()
    root.handlers[:] = [LogHandler(log)]
    root.setLevel(max(LEVELS[level], logging.WARNING))
    return log


def _explain(error: ProxyError) -> str:
    """An error and what caused it."""
    cause = error.__cause__
    return f"{error} ({type(cause).__name__}: {cause})" if cause is not None else str(error)


def _since(start: float, moment: float) -> float | None:
    return round((moment - start) * 1000, 3) if moment else None


def _as_text(line: ExchangeLine) -> bytes:
    where = "/".join(part for part in (line.provider, line.model) if part)
    parts = [
        line.ts[11:19],
        f"{line.level:7}",
        str(line.status),
        line.method,
        line.path,
        where or "-",
        f"{line.total_ms:.1f}ms",
    ]
    if line.output_tokens is not None:
        parts.append(f"{line.input_tokens}+{line.output_tokens}tok")
    if line.error is not None:
        parts.append(f"{line.error}: {line.message}")
    parts.append(line.request_id)
    return (" ".join(map(_plain, parts)) + "\n").encode()


def _plain(value: object) -> str:
    """A value that stays on its line and moves no cursor."""
    text = value if isinstance(value, str) else str(value)
    if text.isprintable():
        return text
    return json.dumps(text)[1:-1]
