"""One table of the tree to one struct, key by key, so that every problem can name its key."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

import msgspec
from msgspec import UNSET

from proxy.component import Component
from proxy.config.kinds import CONTRACTS, holds_pem, is_bare, is_struct, item, may_be_plain, plain
from proxy.config.lines import KeyPath
from proxy.config.section import keys
from proxy.config.source import Source, quote
from proxy.errors import ConfigError
from proxy.registry import FAMILIES, find, names, suggest
from proxy.tls import Fault, Tls
from proxy.token import Plain, Reference, Secret, Token
from proxy.units import (
    DURATION_HINT,
    SIZE_HINT,
    Duration,
    Size,
    parse_duration,
    parse_size,
)
from proxy.url import Url

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

SECRET_HINT = (
    'a reference such as "env:OPENAI_API_KEY", "file:/path", "exec:program …", a table with '
    '`type`, or "literal:…"'
)

_DAY = 86400.0
_BARE_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_PLAIN = re.compile(r"[a-z0-9+]+://[^@]*")
"""A URL that may stand where a reference to one could: it holds no password."""
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
_QUOTED = re.compile(r"`([^`]+)`")
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time",
}


class Conversion:
    """Turns tables into structs, and collects what is wrong with them instead of stopping at it."""

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._problems: list[tuple[tuple[int, int], str]] = []
        self._warnings: list[tuple[tuple[int, int], str]] = []
        self._failed: set[KeyPath] = set()
        self._dropped: set[KeyPath] = set()

    @property
    def problems(self) -> list[str]:
        """What is wrong, in the order of the files."""
        return [text for _, text in sorted(self._problems, key=itemgetter(0))]

    @property
    def warnings(self) -> list[str]:
        """What is probably not wanted, in the order of the files."""
        own = [text for _, text in sorted(self._warnings, key=itemgetter(0))]
        return self._source.warnings + own

    def problem(self, path: KeyPath, what: str | Exception) -> None:
        """Note that what stands at `path` is wrong."""
        self._failed.add(path)
        for problem in what.problems if isinstance(what, ConfigError) else (what,):
            self._problems.append((self._source.order(path), f"{self._source.at(path)}: {problem}"))

    def warning(self, path: KeyPath, what: str) -> None:
        """Note that what stands at `path` works, but is probably not wanted."""
        self._warnings.append((self._source.order(path), f"{self._source.at(path)}: {what}"))

    def failed(self, *path: str | int) -> bool:
        """Whether something is wrong with `path` already, so that its value is a stand-in."""
        return any(known[: len(path)] == path for known in self._failed)

    def elements(self, path: KeyPath, values: Sequence[T]) -> Iterator[tuple[KeyPath, T]]:
        """`values`, the elements of the list at `path` that could be read, each with its path."""
        read = ((*path, i) for i in count() if (*path, i) not in self._dropped)
        return zip(read, values, strict=False)

    def table(
        self,
        kind: type[S],
        raw: object,
        path: KeyPath,
        instead: Mapping[str, object] = MappingProxyType({}),
    ) -> S | None:
        """The struct that the table `raw` spells; None if it is too wrong for one.

        A key that is wrong counts as absent; `instead` stands in for those that must not be.
        """
        if not isinstance(raw, dict):
            self.problem(path, f"expected a table, found {_found(raw)}")
            return None
        known = keys(kind)
        values = dict(instead)
        for key, entry in raw.items():
            if (about := known.get(key)) is None:
                self.problem((*path, key), f"unknown key ({suggest(key, known)})")
            elif (value := self._value(about.type, entry, (*path, key))) is not UNSET:
                values[about.name] = value
        required = {key: about for key, about in known.items() if about.required}
        for key, about in required.items():
            if key not in raw:
                self.problem((*path, key), f"is missing: {_lower(about.description)}")
        if any(about.name not in values for about in required.values()):
            return None
        try:
            return kind(**values)
        except (ValueError, ConfigError) as error:
            self.problem(path, error)
            return None

    def component(self, contract: Any, raw: Any, path: KeyPath, *, pem: bool = False) -> Any:
        """The member of `contract`'s family that `raw` names; None if it is too wrong.

        A table names it by its `type`. A token may be a reference, too, such as ``"env:NAME"``,
        a url one as it is, and a list of either is a pool. `pem`: the path of such a file may stand
        for a reference to it.
        """
        if pem and isinstance(raw, str) and _is_path(raw):
            raw = f"file:{raw}"
        several = isinstance(raw, list) and contract in (Token, Url)
        if several and len(raw) == 1:
            return self.component(contract, raw[0], (*path, 0))
        if several:
            component = self._pool(contract, raw, path)
        elif issubclass(contract, Token) and not isinstance(raw, dict):
            component = self._reference(contract, raw, path)
        elif contract is Url and isinstance(raw, str):
            kind = find("urls", "static")
            component = self._made(lambda: kind(url=raw), "static", path)
        else:
            component = self._named(contract, raw, path)
        if component is None:
            return None
        if isinstance(component, Token):
            directory = self._source.directory(path)
            vars(component).update(_place=self._source.at(path), _directory=directory, _lines=pem)
            try:
                component.resolve(self._environ, directory)
            except ValueError as error:
                self.problem(path, error)
                return None
        return component

    def _pool(self, contract: Any, raw: list[object], path: KeyPath) -> Component | None:
        family = CONTRACTS[contract]
        kind = find(family, "pool")
        listed = self._value(keys(kind)[family].type, raw, path)
        if listed is UNSET or self.failed(*path):
            return None
        return self._made(lambda: kind(**{family: listed}), "pool", path)

    def _made(self, make: Callable[[], Any], name: str, path: KeyPath) -> Component | None:
        """What `make` makes; None if that fails."""
        try:
            return self._called(make(), name, path)
        except ValueError as error:
            self.problem(path, error)
            return None

    def _named(self, contract: Any, raw: object, path: KeyPath) -> Component | None:
        family = CONTRACTS[contract]
        if not isinstance(raw, dict):
            expected = "a URL, a list of them or " if contract is Url else ""
            self.problem(path, f"expected {expected}a table, whose `type` names its class")
            return None
        if self.failed(*path, "type"):
            return None
        if not isinstance(raw.get("type"), str):
            what = "expected a string" if "type" in raw else "is missing"
            self.problem((*path, "type"), f"{what} ({suggest('', names(family))})")
            return None
        try:
            kind = find(family, raw["type"])
        except ConfigError as error:
            self.problem((*path, "type"), error)
            return None
        if not issubclass(kind, contract):
            what = "one value" if contract is Reference else f"a {FAMILIES[family]}"
            self.problem((*path, "type"), f"{kind.__name__} is not {what}")
            return None
        fields = {key: value for key, value in raw.items() if key != "type"}
        component = self.table(kind, fields, path)
        return self._called(component, raw["type"], path)

    def _reference(self, contract: type, raw: object, path: KeyPath) -> Component | None:
        if not isinstance(raw, str):
            self.problem(path, f"expected {SECRET_HINT}, found {_found(raw)}")
            return None
        name, colon, text = raw.partition(":")
        kind: Any = find("tokens", name) if name in names("tokens") else None
        if kind is not None and not issubclass(kind, contract):
            self.problem(path, f"{name} is not one value, as a secret here must be")
            return None
        from_text: Callable[[str], Token] | None = getattr(kind, "from_text", None)
        if colon and from_text is not None:
            return self._made(lambda: from_text(text), name, path)
        if kind is not None and not colon and is_bare(kind):
            return self._called(self.table(kind, {}, path), name, path)
        self.problem(path, f"a secret is not written out (expected {SECRET_HINT})")
        return None

    def _called(self, component: Component | None, name: str, path: KeyPath) -> Component | None:
        """`component` with what it was called, for whoever prints the configuration."""
        if component is not None:
            vars(component)["_type"] = name
            if isinstance(component, Token) and name == "literal":
                self.warning(path, 'a secret stands in the configuration itself (use "env:NAME")')
        return component

    def _value(self, annotated: Any, raw: object, path: KeyPath) -> Any:
        """What `raw` spells as the type `annotated`; UNSET if it spells nothing."""
        if path in self._failed:
            return UNSET
        kind = plain(annotated)
        if kind in CONTRACTS:
            if isinstance(raw, str) and may_be_plain(annotated) and _PLAIN.fullmatch(raw):
                return Plain(value=raw)
            component = self.component(kind, raw, path, pem=holds_pem(annotated))
            return UNSET if component is None else component
        if is_struct(kind):
            return self._struct(kind, raw, path)
        if get_origin(kind) is dict and isinstance(raw, dict):
            of = get_args(kind)[1]
            raw = {key: self._value(of, entry, (*path, key)) for key, entry in raw.items()}
            if UNSET in raw.values():
                return UNSET
        of = item(kind)
        one = isinstance(raw, str) or (isinstance(raw, dict) and hasattr(plain(of), "from_text"))
        if of is not None and (one or isinstance(raw, list)):
            # Wherever a list is expected, one string or table stands for a list of it.
            elements: Any = [raw] if one else raw
            values = [self._value(of, element, (*path, i)) for i, element in enumerate(elements)]
            raw = [value for value in values if value is not UNSET]
            if len(raw) < len(values):
                self._dropped |= {(*path, i) for i, value in enumerate(values) if value is UNSET}
            if len(raw) < len(values) or plain(of) in CONTRACTS:
                return get_origin(kind)(raw)
        if get_origin(kind) is Literal and raw not in get_args(kind):
            return self._unlisted(get_args(kind), raw, path)
        try:
            return msgspec.convert(raw, annotated, dec_hook=_spelled)
        except msgspec.ValidationError as error:
            self._invalid(error, path)
            return UNSET

    def _struct(self, kind: type[S], raw: object, path: KeyPath) -> Any:
        from_text: Callable[[str], S] | None = getattr(kind, "from_text", None)
        if isinstance(raw, str) and from_text is not None:
            try:
                return from_text(raw)
            except ValueError as error:
                self.problem(path, error)
                return UNSET
        built = self.table(kind, raw, path)
        if isinstance(built, Tls):
            places = {key: self._source.at((*path, key)) for key in keys(kind)}
            try:
                built.resolve(places, self._source.directory(path))
            except Fault as fault:
                self.problem((*path, fault.key), fault.what)
                return UNSET
        return UNSET if built is None else built

    def _unlisted(self, allowed: tuple[str, ...], raw: object, path: KeyPath) -> Any:
        if isinstance(raw, str):
            self.problem(path, f"unknown value {quote(raw)} ({suggest(raw, allowed)})")
        else:
            listed = ", ".join(map(quote, allowed))
            self.problem(path, f"expected one of {listed}, found {_found(raw)}")
        return UNSET

    def _invalid(self, error: msgspec.ValidationError, path: KeyPath) -> None:
        message, _, steps = str(error).partition(" - at `$")
        for name, position in _STEP.findall(steps):
            path = (*path, name or int(position))
        # With a cause it is ours and says all; else it is msgspec's, and in types of Python.
        if error.__cause__ is None:
            message = _lower(message).replace(", got `bool`", ", found a boolean")
            message = _QUOTED.sub(_in_words, message).replace(", got ", ", found ")
        self.problem(path, message)


def _is_path(text: str) -> bool:
    """Whether it is no reference, and not what a reference keeps out of the configuration."""
    name, _, _ = text.partition(":")
    return name not in names("tokens") and not text.startswith("-----") and "\n" not in text


def _spelled(kind: type, raw: object) -> object:
    """The types that are ours, from how they are written (msgspec's `dec_hook`)."""
    if isinstance(raw, kind):
        return raw  # an element of a list, read before the list as a whole
    if kind is Secret:
        if not isinstance(raw, str):
            raise ValueError(f"expected a string, found {_found(raw)}")
        return Secret.fit(raw, "it")
    if kind is Duration:
        return _duration(raw)
    if kind is Size:
        return _size(raw)
    raise ValueError(f"cannot be configured: TOML has no spelling of {kind.__name__}")


def _duration(raw: object) -> Duration:
    if not isinstance(raw, str) or _BARE_NUMBER.fullmatch(raw):
        _unitless(raw, DURATION_HINT, "s")
    duration = parse_duration(raw)
    if duration > 365 * _DAY:
        raise ValueError(f'{raw} is longer than a year ("0s" is none)')
    return duration


def _size(raw: object) -> Size:
    if not isinstance(raw, str) or _BARE_NUMBER.fullmatch(raw):
        _unitless(raw, SIZE_HINT, "B")
    return parse_size(raw)


def _unitless(raw: object, hint: str, unit: str) -> NoReturn:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"expected {hint}, found {_found(raw)}")
    raise ValueError(f'{raw} has no unit (expected {hint}; did you mean "{raw}{unit}"?)')


def _found(raw: object) -> str:
    words = {**_WORDS, "dict": "a table", "list": "a list", "bool": "a boolean"}
    return words.get(type(raw).__name__, type(raw).__name__)


def _in_words(match: re.Match[str]) -> str:
    kinds = [kind for kind in match[1].split(" | ") if kind != "null"]
    return " or ".join(_WORDS.get(kind, quote(kind)) for kind in kinds)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
