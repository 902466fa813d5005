"""The contracts of the families as checks that anybody's member can be put through."""

from contextlib import suppress

import msgspec

from proxy.dialect import Dialect, Watch
from proxy.errors import InternalError, ProxyError
from proxy.exchange import Exchange, ParsedRequest, RawRequest
from proxy.processor import Processor
from proxy.testing.cuts import cuts

_NOT_REQUESTS = (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"model":1}', b"[" * 10_000)


async def check_processor(
    processor: Processor, dialect: Dialect, body: bytes, *, raw: RawRequest
) -> bytes:
    """Put a processor through its contract with one request; returns what it made of it.

    `raw` stands for the request's head. Raises AssertionError that says what does not hold: the
    result is a JSON object, what nobody set keeps its bytes, the same request gives the same
    result, and nothing but a ProxyError is raised.
    """
    await processor.open()
    try:
        results = []
        for _ in range(2):
            request = dialect.parse(body)
            exchange = Exchange(request=raw, id="check", received_at=0.0)
            try:
                await processor.on_request(exchange, request, dialect)
            except ProxyError as error:
                results.append(dialect.error(error))
            else:
                results.append(request.body())
                _check_edit(body, request)
            processor.on_end(exchange)
        assert results[0] == results[1], "the same request gave two results"
        return results[0]
    finally:
        await processor.close()


def _check_edit(body: bytes, request: ParsedRequest) -> None:
    fields = dict[str, msgspec.Raw]
    before = msgspec.json.decode(body, type=fields)
    after = msgspec.json.decode(request.body(), type=fields)
    if not request.changed:
        assert request.body() == body, "nothing was changed, yet the bytes differ"
    kept = [name for name in before if name in after]
    assert kept == [name for name in after if name in before], "the order of the fields changed"


def check_dialect(dialect: Dialect, requests: list[bytes], responses: list[bytes]) -> None:
    """Put a dialect through its contract with requests and streamed responses of its kind.

    Raises AssertionError that says what does not hold: bad requests raise nothing but a
    ProxyError, errors are words, a watch passes on every byte, and where the bytes of a response
    are cut does not matter.
    """
    for body in requests:
        dialect.parse(body)
    for body in _NOT_REQUESTS:
        with suppress(ProxyError):
            dialect.parse(body)
    error = InternalError('a "quoted" word\nand a line')
    assert dialect.error(error), "an error has no body"
    assert dialect.error_event(error).endswith(b"\n\n"), "an error event is not a whole frame"
    for response in responses:
        for strip in (False, True):
            _check_watch(dialect, response, strip=strip)


def _check_watch(dialect: Dialect, response: bytes, *, strip: bool) -> None:
    outcomes = []
    for pieces in cuts(response):
        watch: Watch = dialect.watch(stream=True, strip=strip)
        passed = b"".join(watch.feed(piece) for piece in pieces) + watch.close()
        outcomes.append((passed, watch.usage))
    assert all(outcome == outcomes[0] for outcome in outcomes), "where it was cut mattered"
    assert strip or outcomes[0][0] == response, "a watch that strips nothing changed the bytes"
