"""The turns of a conversation, for dialects in which they alternate and every call has its result.

What no provider's conversation may be is refused here, in words: a call without its result, and
a result without its call.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from proxy.chat import CallPart, Chat, Part, RefusalPart, ResultPart, TextPart
from proxy.errors import BadRequest


class Turn(msgspec.Struct):
    """What one side says before the other does: a tool's results are the user's."""

    role: Literal["user", "assistant", "system"]
    parts: list[Part]


def arrange(
    chat: Chat, keeps: Callable[[Part], bool], *, system_turns: bool
) -> tuple[list[Part], list[Turn]]:
    """What the system says before anybody else does, and the turns, each of something.

    Neighbours of one role are one turn. Results stand first in the turn that follows their calls,
    however late they come in it. `keeps` says whether a part is carried at all; empty texts are
    not. `system_turns`: what the system says later has turns of its own; otherwise the user says
    it, in its place.
    """
    system: list[Part] = []
    turns: list[Turn] = []
    for message in chat.messages:
        role: Literal["user", "assistant", "system"]
        role = "assistant" if message.role == "assistant" else "user"
        parts = [part for part in message.parts if says(part) and keeps(part)]
        if message.role == "system":
            if not turns:
                system.extend(parts)
                continue
            role = "system" if system_turns else "user"
        if not parts:
            continue
        if not turns or turns[-1].role != role:
            turns.append(Turn(role, []))
        turn = turns[-1].parts
        if message.role == "tool":
            at = sum(isinstance(part, ResultPart) for part in turn)
            turn[at:at] = parts
        else:
            turn.extend(parts)
    return system, turns


def says(part: Part) -> bool:
    """Whether it is more than an empty text, which some providers refuse."""
    return not isinstance(part, TextPart | RefusalPart) or bool(part.text)


def check_results(turns: list[Turn]) -> None:
    """Refuse, with a BadRequest, a call without its result and a result without its call."""
    asked: list[str] = []
    for turn in turns:
        answered = [part.id for part in turn.parts if isinstance(part, ResultPart)]
        for id in answered:
            if id not in asked:
                raise BadRequest(
                    f"the tool result for `{id}` follows no tool call of that id",
                    param="messages",
                )
        _refuse_open(asked, answered)
        asked = []
        if turn.role == "assistant":
            asked = [part.id for part in turn.parts if isinstance(part, CallPart)]
    _refuse_open(asked, [])


def _refuse_open(asked: list[str], answered: list[str]) -> None:
    for id in asked:
        if id not in answered:
            raise BadRequest(
                f"the tool call `{id}` has no result in the turn that follows it",
                param="messages",
            )
