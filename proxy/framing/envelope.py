"""The envelope of a JSON request: the few fields that policy reads, and nothing else decoded.

Everything is checked that a provider's parser could read differently from ours: invalid UTF-8,
lone surrogates, NaN, trailing bytes, nesting without end, and fields that stand twice (msgspec
would take the last one, another parser the first).
"""

from typing import Any

import msgspec

from proxy.errors import BadJSON, BadRequest
from proxy.exchange import ParsedRequest

MAX_MODEL = 256
"""Characters of a model's name."""


class _Field:
    """A field that policy reads; msgspec hands its value to the hook and keeps the marker."""


class _Model(_Field):
    pass


class _Stream(_Field):
    pass


class _Options(_Field):
    pass


class _Envelope(msgspec.Struct, gc=False):
    model: _Model = _Model()
    stream: _Stream = _Stream()
    stream_options: _Options = _Options()


_found: dict[type[_Field], Any] = {}


def _check(kind: type[_Field], value: Any) -> _Field:
    # Called for each occurrence of a field, so one that stands twice is seen, even where its
    # name is spelled with escapes or its value is null.
    if kind in _found:
        raise ValueError("stands twice")
    if value is None:
        pass
    elif kind is _Model:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_MODEL:
            raise ValueError(f"must be a string of 1 to {MAX_MODEL} characters")
        if not value.isprintable():
            raise ValueError("holds a control character")
    elif kind is _Stream:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
    elif not isinstance(value, dict):
        raise ValueError("must be an object")
    _found[kind] = value
    return _MARKS[kind]


_MARKS: dict[type[_Field], _Field] = {kind: kind() for kind in (_Model, _Stream, _Options)}
_decoder = msgspec.json.Decoder(_Envelope, dec_hook=_check)


def parse_envelope(body: bytes) -> ParsedRequest:
    """Read `model`, `stream` and `stream_options` of a JSON object.

    Raises BadJSON for what is not JSON in UTF-8, BadRequest for a field that is wrong.
    """
    found = _found
    found.clear()
    try:
        _decoder.decode(body)
        if not body.isascii():
            str(body, "utf-8")
    except msgspec.ValidationError as error:
        raise _explained(error) from error
    except msgspec.DecodeError as error:
        raise BadJSON(f"the body is not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise BadJSON(f"the body is not valid UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise BadJSON("the body is nested too deep") from error
    options = found.get(_Options)
    return ParsedRequest(
        raw=body,
        model=found.get(_Model),
        stream=found.get(_Stream) or False,
        asked_usage=options is not None and options.get("include_usage") is True,
    )


def _explained(error: msgspec.ValidationError) -> BadRequest:
    what, _, where = str(error).partition(" - at `$.")
    name = where.rstrip("`").replace("[", ".").partition(".")[0]
    if not name:
        return BadRequest("the body must be a JSON object")
    return BadRequest(f"`{name}` {what}", param=name)
