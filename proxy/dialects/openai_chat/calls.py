"""The tool calls of one choice, put together from deltas that servers number as they like.

OpenAI numbers its calls, and says a call's id and name once. Others leave the index out, or
the id, repeat both with each delta, give all calls the same index, or send a call whole.
"""

import msgspec

from proxy.dialects.openai_chat.chunk import CallDelta
from proxy.dialects.openai_chat.wire import NAME
from proxy.event import Arguments, Call, Event, call_id


class _Open:
    """A call that began; until it has a name, what it says is `held`."""

    __slots__ = ("held", "id", "index", "started")

    def __init__(self, index: int, identifier: str) -> None:
        self.index = index
        self.id = identifier
        self.held = ""
        self.started = False


class Calls:
    """The calls of one choice."""

    __slots__ = ("_all", "_at", "_choice", "_last", "_response")

    def __init__(self, response: str, choice: int) -> None:
        """`response` is the response's id, of which those of calls are made that have none."""
        self._response = response
        self._choice = choice
        self._all: list[_Open] = []
        self._at: dict[int, _Open] = {}
        """By the server's index."""
        self._last: _Open | None = None

    def add(self, delta: CallDelta, events: list[Event], *, whole: bool = False) -> None:
        """One delta; `whole`: it is all of its call."""
        custom = delta.custom
        function = delta.function
        name = (function.name if function else custom.name if custom else None) or ""
        text = (function.arguments if function else custom.input if custom else None) or ""
        if not isinstance(text, str):
            text = msgspec.json.encode(text).decode("utf-8", "replace")
        call = None if whole else self._find(delta, name)
        if call is None:
            call = _Open(len(self._all), delta.id or "")
            self._all.append(call)
            if delta.index is not None:
                self._at[delta.index] = call
        self._last = call
        if call.started:
            if text:
                events.append(Arguments(call.index, text, self._choice))
            return
        call.id = call.id or delta.id or ""
        call.held += text
        if name:
            google = delta.extra_content.google if delta.extra_content else None
            signature = (google.thought_signature if google else None) or ""
            self._start(call, name, events, custom=custom is not None, signature=signature)

    def close(self, events: list[Event]) -> None:
        """There are no more of them: those that never had a name begin without one."""
        for call in self._all:
            if not call.started:
                self._start(call, "", events)

    def _find(self, delta: CallDelta, name: str) -> _Open | None:
        """The call that a delta goes on with; None if it begins one."""
        if delta.index is None:
            if delta.id:
                return next((call for call in self._all if call.id == delta.id), None)
            return None if name else self._last
        call = self._at.get(delta.index)
        if call is not None and name and delta.id and call.id and delta.id != call.id:
            return None  # another call, of a server that gives all of them one index
        return call

    def _start(
        self,
        call: _Open,
        name: str,
        events: list[Event],
        *,
        custom: bool = False,
        signature: str = "",
    ) -> None:
        call.started = True
        if not call.id:
            call.id = call_id(self._response, self._choice, call.index)
        origin = NAME if signature else ""
        events.append(Call(call.index, call.id, name, self._choice, custom, signature, origin))
        if call.held:
            events.append(Arguments(call.index, call.held, self._choice))
            call.held = ""
