"""The log: one line per exchange, and the lines of the program's own story.

JSON for machines, text for people at a terminal; one record is one line, whatever stands in its
fields. Never a body, never a credential.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from proxy.errors import ProxyError
from proxy.exchange import Exchange
from proxy.observe.lines import LineWriter

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Format = Literal["auto", "json", "text"]

FINISH_SECONDS = 1.0
"""How long a process that ends waits for whoever reads its last lines."""

MAX_PATH = 200
"""Characters of a path that are logged."""

_PLACE = {"pod": "POD_NAME", "namespace": "POD_NAMESPACE", "node": "NODE_NAME"}


_MAX_NAMES = 1024
"""Combinations of names whose spelling in JSON is remembered."""


class Names(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of an exchange's line is names: the same for many exchanges."""

    client: str
    method: str
    path: str
    route: str = ""
    dialect: str = ""
    provider: str = ""
    model: str = ""


class Wrong(msgspec.Struct, frozen=True):
    """What the line of an exchange that went wrong says of that."""

    error: str
    message: str
    phase: str


class Writer(Protocol):
    """Where lines go."""

    dropped: int
    """Lines that were lost."""

    def write(self, line: bytes) -> None:
        """Write a line, its line end included, soon."""

    def flush(self) -> None:
        """Write what waits to be written."""

    def finish(self, seconds: float) -> None:
        """Write the last lines, and wait so long for whoever reads them."""


class Log:
    """Writes the log; an observer of exchanges by its `exchange` method."""

    def __init__(
        self,
        writer: Writer,
        *,
        level: str = "info",
        form: Format = "json",
        place: Mapping[str, str] | None = None,
    ) -> None:
        """`place`: fields that stand on every line, such as the pod's name."""
        self._writer = writer
        self.configure(level, form)
        self._place = "".join(
            f",{json.dumps(name)}:{json.dumps(value)}" for name, value in (place or {}).items()
        )
        self._names: dict[tuple[str, str, str, str, str, str, str], str] = {}
        self._second = -1
        self._prefix = ""

    def configure(self, level: str, form: Format) -> None:
        """Log so from now on; "auto" is text on a terminal, else JSON."""
        self._threshold = LEVELS[level]
        if form == "auto":
            form = "text" if os.isatty(sys.stderr.fileno()) else "json"
        self._text = form == "text"

    def exchange(self, exchange: Exchange) -> None:
        """Write the one line of a finished exchange."""
        error = exchange.error
        level = "warning" if error is not None and error.status >= 500 else "info"
        if LEVELS[level] < self._threshold:
            return
        line = self._text_line(exchange, level) if self._text else self._json_line(exchange, level)
        self._writer.write(line)

    def _json_line(self, exchange: Exchange, level: str) -> bytes:
        """One formatting: a fifth of what encoding a struct of two dozen fields costs.

        Times are milliseconds from the request's head on: to the response's head, to the first
        of its body, to its end, and those spent in the proxy itself.
        """
        request, error, usage = exchange.request, exchange.error, exchange.usage
        names = (
            request.peer,
            request.method,
            request.path,
            exchange.route,
            exchange.dialect,
            exchange.provider,
            exchange.model,
        )
        spelled = self._names.get(names) or self._spell(names)
        start = exchange.received_at
        times = counts = wrong = ""
        if exchange.started_at and exchange.sent_at:
            times = (
                f',"head_ms":{(exchange.started_at - start) * 1000:.3f}'
                f',"proxy_ms":{exchange.overhead * 1000:.3f}'
            )
            if exchange.events and exchange.first_at:
                times += f',"first_ms":{(exchange.first_at - start) * 1000:.3f}'
        if usage is not None:
            counts = f',"input_tokens":{usage.input_tokens},"output_tokens":{usage.output_tokens}'
            if usage.cached_tokens or usage.reasoning_tokens or usage.cache_write_tokens:
                counts += (
                    f',"cached_tokens":{usage.cached_tokens}'
                    f',"reasoning_tokens":{usage.reasoning_tokens}'
                    f',"cache_write_tokens":{usage.cache_write_tokens}'
                )
        if error is not None:
            said = Wrong(error.code, _explain(error), exchange.phase)
            wrong = f",{msgspec.json.encode(said)[1:-1].decode()}"
        parsed = exchange.parsed
        stream = "true" if parsed is not None and parsed.stream else "false"
        return (
            f'{{"ts":"{self._now()}","level":"{level}","event":"exchange",'
            f'"request_id":"{exchange.id}"{spelled},"status":{exchange.status},'
            f'"attempts":{exchange.attempts},"stream":{stream},"bytes_in":{exchange.bytes_in},'
            f'"bytes_out":{exchange.bytes_out}{counts},'
            f'"total_ms":{(exchange.ended_at - start) * 1000:.3f}{times}{wrong}{self._place}}}\n'
        ).encode()

    def _spell(self, names: tuple[str, str, str, str, str, str, str]) -> str:
        client, method, path, *rest = names
        fields = Names(client, method, path[:MAX_PATH], *rest)
        spelled = "," + msgspec.json.encode(fields)[1:-1].decode()
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        self._names[names] = spelled
        return spelled

    def _text_line(self, exchange: Exchange, level: str) -> bytes:
        request, usage, error = exchange.request, exchange.usage, exchange.error
        where = "/".join(part for part in (exchange.provider, exchange.model) if part)
        parts = [
            self._now()[11:19],
            f"{level:7}",
            str(exchange.status),
            request.method,
            request.path[:MAX_PATH],
            where or "-",
            f"{(exchange.ended_at - exchange.received_at) * 1000:.1f}ms",
        ]
        if usage is not None:
            parts.append(f"{usage.input_tokens}+{usage.output_tokens}tok")
        if error is not None:
            parts.append(f"{error.code}: {_explain(error)}")
        parts.append(exchange.id)
        return (" ".join(map(_plain, parts)) + "\n").encode()

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

    def finish(self) -> None:
        """Write what waits to be written, for a moment in spite of a reader that is behind."""
        self._writer.finish(FINISH_SECONDS)

    @property
    def lost_lines(self) -> int:
        """Lines that nobody took in time."""
        return self._writer.dropped

    def _as_json(self, line: object) -> bytes:
        return msgspec.json.encode(line)[:-1] + self._place.encode() + b"}\n"

    def _now(self) -> str:
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        if seconds != self._second:
            self._second = seconds
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{self._prefix}.{rest // 1_000_000:03d}Z"


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
    place = {name: environ[key] for name, key in _PLACE.items() if environ.get(key)}
    log = Log(writer or LineWriter(sys.stderr.fileno()), level=level, form=form, place=place)
    root = logging.getLogger()
    root.handlers[:] = [LogHandler(log)]
    root.setLevel(logging.WARNING)
    # Of our own, what is said is what the log is to say.
    logging.getLogger("proxy").setLevel(logging.DEBUG)
    return log


def _explain(error: ProxyError) -> str:
    """An error and what caused it."""
    cause = error.__cause__
    return f"{error} ({type(cause).__name__}: {cause})" if cause is not None else str(error)


def _plain(value: object) -> str:
    """A value that stays on its line and moves no cursor."""
    text = value if isinstance(value, str) else str(value)
    if text.isprintable():
        return text
    return json.dumps(text)[1:-1]
