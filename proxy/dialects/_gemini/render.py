"""A chat, rendered into a request."""

import itertools
import mimetypes
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from proxy.chat import (
    AudioPart,
    CallPart,
    Chat,
    FilePart,
    ImagePart,
    Message,
    NativePart,
    Omissions,
    Part,
    Reasoning,
    RefusalPart,
    Rendering,
    ResultPart,
    TextPart,
    ThinkingPart,
    call_names,
    omit_foreign,
)
from proxy.dialects._gemini.wire import ORIGIN, TIER_WORDS, decode_object, is_object
from proxy.effort import budget_of
from proxy.errors import BadRequest

Raw = msgspec.Raw
_Parts = list[dict[str, Any]]

_TIERS = ("flex", "priority", "standard")
_OLD = re.compile(r"gemini-[12]\b").match
"""Models whose thinking is measured in tokens, where later ones take a level, and whose tools
answer no media."""
_CHECKS_SIGNATURES = re.compile(r"gemini-(?:[3-9]|\d\d)").match
"""Models that refuse a call of theirs without its signature."""
_UNSIGNED = "skip_thought_signature_validator"
"""What stands for the signature of a call that another model made:
https://ai.google.dev/gemini-api/docs/thought-signatures"""

_CALL, _ANSWER, _SIGNATURE = "functionCall", "functionResponse", "thoughtSignature"
_MAX_BUDGET = 24576
"""Tokens that each model takes that is measured in them."""
_LEVELS = {"none": "MINIMAL", "max": "XHIGH"}
_HINTS = ("parallel_tools", "logit_bias", "user", "metadata", "cache_key")
"""Hints of other dialects that there is no word for."""
_DROPPABLE = (
    *("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty"),
    *("stop", "logprobs", "top_logprobs", "service_tier", "reasoning", "max_tokens"),
)
"""Hints that a provider's quirks may refuse."""


def render_chat(chat: Chat, rendering: Rendering) -> dict[str, Any]:
    """The fields of a request. Raises Unsupported for what Gemini cannot be asked."""
    omissions = rendering.omissions
    body = render_question(chat, rendering)
    chat = _without(chat, rendering)
    extra = _Nested(chat.extra if chat.origin == ORIGIN else {})
    extra.put("toolConfig.functionCallingConfig", _calling(chat))
    extra.put("generationConfig", _config(chat))
    extra.put("generationConfig.thinkingConfig", _thinking(chat.reasoning, rendering.model))
    if chat.service_tier is not None:
        tier = TIER_WORDS.get(chat.service_tier, chat.service_tier)
        if tier in _TIERS:
            body["serviceTier"] = tier
        elif tier != "auto":
            omissions.hint("service_tier", tier)
    return body | extra.tree


def render_question(chat: Chat, rendering: Rendering) -> dict[str, Any]:
    """The fields of a request that the model reads. Raises Unsupported."""
    omit_foreign(chat, ORIGIN, rendering.omissions)
    body = _messages(chat, rendering)
    tools = _tools(chat, rendering.omissions)
    if tools:
        body["tools"] = tools
    return body


def _without(chat: Chat, rendering: Rendering) -> Chat:
    """The chat without the hints that Gemini, or this provider, does not take."""
    refused = [name for name in _DROPPABLE if name in rendering.quirks.refuses]
    for name in (*_HINTS, *refused):
        rendering.omissions.hint(name, getattr(chat, name))
    if not refused:
        return chat
    return msgspec.structs.replace(
        chat, **{name: [] if name == "stop" else None for name in refused}
    )


class _Nested:
    """An object of objects, whose members are put in by their place: ``a.b.c``."""

    def __init__(self, extra: dict[str, Raw]) -> None:
        self.tree: dict[str, Any] = {}
        for place, raw in extra.items():
            *where, name = place.split(".")
            self.put(".".join(where), {name: raw})

    def put(self, place: str, members: dict[str, Any]) -> None:
        """Add members to the object at a place."""
        if not members:
            return
        tree = self.tree
        for name in filter(None, place.split(".")):
            tree = tree.setdefault(name, {})
        tree.update(members)


def _messages(chat: Chat, rendering: Rendering) -> dict[str, Any]:
    writer = _Writer(chat, rendering)
    leading = 0
    while leading < len(chat.messages) and chat.messages[leading].role == "system":
        leading += 1
    if leading == len(chat.messages):
        # Gemini answers nobody who says nothing: what there is to say is the user's word then.
        leading = 0
    turns: list[tuple[str, _Parts]] = []
    for message in chat.messages[leading:]:
        rendering.omissions.hint("name", message.name)
        role = "model" if message.role == "assistant" else "user"
        parts = writer.parts(message)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((role, parts))
    for (_, asked), (role, parts) in itertools.pairwise(turns):
        if role == "user":
            _order_answers(parts, asked)
    if _CHECKS_SIGNATURES(rendering.model):
        for _, parts in turns:
            _sign(parts)
    body: dict[str, Any] = {"contents": [{"role": role, "parts": parts} for role, parts in turns]}
    system = [part for message in chat.messages[:leading] for part in writer.parts(message)]
    if system:
        body["systemInstruction"] = {"parts": system}
    return body


class _Writer:
    """Writes the parts of one chat's messages."""

    def __init__(self, chat: Chat, rendering: Rendering) -> None:
        self._names = call_names(chat.messages)
        self._own = chat.origin == ORIGIN
        self._omissions = rendering.omissions
        self._nests_media = not _OLD(rendering.model)

    def parts(self, message: Message) -> _Parts:
        """The parts that say a message."""
        parts: _Parts = []
        for part in message.parts:
            if message.role == "system" and not isinstance(part, TextPart | NativePart):
                self._omissions.refuse("a system message that is not text", param="messages")
            self._add(part, parts)
        return parts

    def _add(self, part: Part, parts: _Parts) -> None:
        extra = part.extra if self._own else {}
        if isinstance(part, ThinkingPart):
            self._add_thinking(part, parts)
        elif isinstance(part, CallPart):
            parts.append(self._call(part) | extra)
        elif isinstance(part, ResultPart):
            self._add_answer(part, parts)
        elif isinstance(part, TextPart | RefusalPart):
            if part.text:
                parts.append({"text": part.text} | extra)
        elif isinstance(part, NativePart):
            parts.append(dict(decode_object(part.raw)))
        else:
            parts.append(self._media(part))

    def _add_thinking(self, part: ThinkingPart, parts: _Parts) -> None:
        if part.origin != ORIGIN:
            # Another model's thoughts mean nothing to this one.
            self._omissions.hint("reasoning", part.text or None)
        elif part.text:
            parts.append({"text": part.text, "thought": True})
            if part.signature:
                parts[-1][_SIGNATURE] = part.signature
        elif part.signature:
            if parts and _SIGNATURE not in parts[-1] and _CALL not in parts[-1]:
                parts[-1][_SIGNATURE] = part.signature
            else:
                parts.append({"text": "", _SIGNATURE: part.signature})

    def _call(self, part: CallPart) -> dict[str, Any]:
        if part.custom:
            self._omissions.refuse(f"the call of the custom tool `{part.name}`", param="messages")
        arguments = part.arguments.strip() or "{}"
        if not is_object(arguments):
            self._omissions.refuse(
                f"the arguments of the call `{part.id}` of `{part.name}`, no JSON object,",
                param="messages",
            )
        call: dict[str, Any] = {"name": part.name, "args": Raw(arguments.encode())}
        if part.id:
            call["id"] = part.id
        found: dict[str, Any] = {_CALL: call}
        if part.signature and part.origin == ORIGIN:
            found[_SIGNATURE] = part.signature
        return found

    def _add_answer(self, part: ResultPart, parts: _Parts) -> None:
        name = part.name or self._names.get(part.id)
        if not name:
            raise BadRequest(f"the result {part.id} answers no call of this chat", param="messages")
        text = ""
        media = []
        for inner in part.content:
            words = inner.text if isinstance(inner, TextPart | FilePart) else None
            if words is None:
                media.append(self._media(inner))
            else:
                text += words
        said: object = Raw(text.encode()) if is_object(text) else text
        if part.error:
            said = {"error": said}
        elif said is text:
            said = {"output": text}
        answer: dict[str, Any] = {"name": name, "response": said}
        if part.id:
            answer["id"] = part.id
        parts.append({_ANSWER: answer})
        if media and self._nests_media:
            answer["parts"] = media
        else:
            parts.extend(media)

    def _media(self, part: Part) -> dict[str, Any]:
        extra = dict(part.extra) if self._own else {}
        if isinstance(part, AudioPart):
            return {"inlineData": {"mimeType": part.media_type, "data": part.data}} | extra
        if isinstance(part, FilePart) and part.text is not None:
            return {"text": part.text}
        if not isinstance(part, ImagePart | FilePart):
            self._omissions.refuse("content of this kind", param="messages")
        if isinstance(part, ImagePart) and part.detail not in (None, "auto") and not self._own:
            self._omissions.hint("detail")
        if part.file_id is not None and part.origin != ORIGIN:
            self._omissions.refuse(f"a file that {part.origin} keeps", param="messages")
        uri = part.file_id or part.url
        name = part.name if isinstance(part, FilePart) else None
        guessed = mimetypes.guess_type(urlsplit(uri).path if uri else name or "")[0]
        blob: dict[str, Any] = {}
        media_type = part.media_type or guessed
        if media_type:
            blob["mimeType"] = media_type
        if "displayName" in extra:
            blob["displayName"] = extra.pop("displayName")
        if uri:
            return {"fileData": blob | {"fileUri": uri}} | extra
        if not media_type:
            raise BadRequest("a file must say of what type it is", param="messages")
        return {"inlineData": blob | {"data": part.data or ""}} | extra


def _order_answers(parts: _Parts, asked: _Parts) -> None:
    """Put answers first, in the order of their calls: Gemini counts, it does not search."""
    calls = [part[_CALL] for part in asked if _is(_CALL, part)]
    order = {call.get("id"): place for place, call in enumerate(calls)}
    answers = [part for part in parts if _is(_ANSWER, part)]
    answers.sort(key=lambda part: order.get(part[_ANSWER].get("id"), len(order)))
    parts[:] = answers + [part for part in parts if not _is(_ANSWER, part)]


def _is(kind: str, part: dict[str, Any]) -> bool:
    """Whether it is a part of this kind that was written here: a native one stays as it is."""
    return isinstance(part.get(kind), dict)


def _sign(parts: _Parts) -> None:
    """Sign the first call of a turn, if nobody has: it was another model's."""
    for part in parts:
        if _is(_CALL, part):
            part.setdefault(_SIGNATURE, _UNSIGNED)
            return


def _tools(chat: Chat, omissions: Omissions) -> list[dict[str, Any]]:
    declarations = []
    native = []
    for tool in chat.tools:
        if tool.native is not None:
            native.append(tool.native)
            continue
        if tool.custom:
            omissions.refuse(f"the custom tool `{tool.name}`", param="tools")
        declaration: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            declaration["description"] = tool.description
        if tool.schema is not None:
            declaration["parametersJsonSchema"] = tool.schema
        declarations.append(declaration | tool.extra)
    own: list[Any] = [{"functionDeclarations": declarations}] if declarations else []
    return own + native


def _calling(chat: Chat) -> dict[str, Any]:
    """Whether functions must be called. A strict tool's arguments are to fit its schema."""
    choice = chat.tool_choice
    mode = "auto" if choice is None else choice.mode
    if mode == "none":
        return {"mode": "NONE"}
    if choice is not None and mode == "named":
        return {"mode": "ANY", "allowedFunctionNames": choice.names}
    if mode == "required":
        return {"mode": "ANY"}
    if choice is not None and choice.names:
        # AUTO takes no names.
        return {"mode": "VALIDATED", "allowedFunctionNames": choice.names}
    if any(tool.strict for tool in chat.tools):
        return {"mode": "VALIDATED"}
    return {} if choice is None else {"mode": "AUTO"}


def _config(chat: Chat) -> dict[str, Any]:
    top_k = chat.top_k
    config: dict[str, Any] = {
        "temperature": chat.temperature,
        "topP": chat.top_p,
        "topK": int(top_k) if top_k is not None and top_k.is_integer() else top_k,
        "candidateCount": chat.n if chat.n != 1 else None,
        "maxOutputTokens": chat.max_tokens,
        "stopSequences": chat.stop or None,
        "seed": chat.seed,
        "presencePenalty": chat.presence_penalty,
        "frequencyPenalty": chat.frequency_penalty,
        "responseLogprobs": chat.logprobs,
        "logprobs": chat.top_logprobs or None,
    }
    if chat.format is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = chat.format.schema
    return {name: value for name, value in config.items() if value is not None}


def _thinking(reasoning: Reasoning | None, model: str) -> dict[str, Any]:
    """In tokens, or as a level: never both, and each model takes only one of them."""
    config: dict[str, Any] = {}
    if reasoning is None:
        return config
    effort, budget = reasoning.effort, reasoning.budget
    if effort is not None and budget is None and _OLD(model):
        budget = min(budget_of(effort), _MAX_BUDGET)
    if budget is not None:
        config["thinkingBudget"] = budget
    elif effort is not None:
        config["thinkingLevel"] = _LEVELS.get(effort, effort.upper())
    if reasoning.show is not None:
        config["includeThoughts"] = reasoning.show
    return config
