"""Settings of a request that Chat and Responses spell alike, or nearly so."""

from typing import Any, Literal

import msgspec

from proxy.chat import Chat, Omissions, Quirks, Tool, ToolChoice
from proxy.dialects._openai import fields as f
from proxy.dialects._openai.fields import Fields
from proxy.dialects._openai.parts import cache_mark
from proxy.effort import effort_of
from proxy.errors import BadRequest
from proxy.exchange import Raw

_Mode = Literal["auto", "none", "required", "named"]
_MODES: dict[str, _Mode] = {
    **{"auto": "auto", "none": "none", "required": "required"},
    "any": "required",
}
"""What the words for a tool choice mean: OpenAI's, and Mistral's."""
_CHOICE = "auto, none, required, or an object that names a tool"
_TIERS = {
    **{tier: tier for tier in ("auto", "default", "flex", "scale", "priority", "fast")},
    "standard": "default",
    "standard_only": "default",
}
_fields = msgspec.json.Decoder(dict[str, Raw])


def read_labels(taken: Fields, fields: dict[str, Raw], chat: Chat) -> None:
    """What says who asks, and how much it matters; `fields` are all of the request's."""
    user = taken.take("user", f.TEXT)
    chat.user = taken.take("safety_identifier", f.TEXT)
    if chat.user is None:
        chat.user = user
    elif user is not None:
        chat.extra["user"] = f.spelled(user)
    chat.service_tier = taken.take("service_tier", f.TEXT)
    try:
        chat.metadata = taken.take("metadata", f.LABELS)
    except BadRequest:  # labels that are no text: some servers take them
        chat.extra["metadata"] = fields["metadata"]
    chat.cache_key = taken.take("prompt_cache_key", f.TEXT)
    if taken.take("store", f.FLAG):  # not to be stored is what every other dialect does anyway
        chat.extra["store"] = f.spelled(True)


def read_function(fields: Fields) -> Tool:
    """A function that may be called."""
    return Tool(
        name=fields.need("name", f.TEXT),
        description=fields.take("description", f.TEXT),
        schema=fields.raw("parameters"),
        strict=fields.take("strict", f.FLAG),
        cache=cache_mark(fields),
        extra=fields.rest(),
    )


def read_custom(fields: Fields) -> Tool:
    """A tool that takes free text."""
    return Tool(
        name=fields.need("name", f.TEXT),
        description=fields.take("description", f.TEXT),
        schema=fields.raw("format"),
        custom=True,
        cache=cache_mark(fields),
        extra=fields.rest(),
    )


def read_tool_choice(taken: Fields, field: str = "tool_choice") -> ToolChoice | None:
    """The tool choice in a field. Raises BadRequest for one that is none of OpenAI's."""
    found = taken.take(field, f.TEXT_OR_OBJECT)
    if found is None:
        return None
    if isinstance(found, str):
        return ToolChoice(_mode(found, taken, field))
    choice = Fields(dict(found), field)
    kind = choice.take("type", f.TEXT) or ("function" if field == "function_call" else "")
    if kind == "allowed_tools":
        allowed = choice.object("allowed_tools") or choice
        names = [_name(tool) for tool in allowed.objects("tools")]
        mode = _mode(allowed.take("mode", f.TEXT) or "auto", allowed, "mode")
        return ToolChoice("named" if mode == "required" else mode, names)
    if kind in ("function", "custom"):
        return ToolChoice("named", [_name(Fields({"type": f.spelled(kind)} | found, field))])
    raise taken.wrong(field, _CHOICE)


def hints(
    wanted: dict[str, tuple[str, Any]], omissions: Omissions, quirks: Quirks
) -> dict[str, Any]:
    """The fields of hints that were given; by a chat's name for each, the field and the value.

    Those that the provider refuses are left out; "" is the field of those that no provider knows.
    """
    body = {}
    for name, (field, value) in wanted.items():
        if value is None:
            continue
        if name in quirks.refuses or not field:
            omissions.hint(name)
        else:
            body[field] = value
    return body


def labels(chat: Chat, omissions: Omissions) -> dict[str, tuple[str, Any]]:
    """The hints that :func:`read_labels` read, for :func:`hints`."""
    tier = chat.service_tier
    if tier is not None and not chat.origin.startswith("openai_"):
        tier = _TIERS.get(tier)
        if tier is None:
            omissions.hint("service_tier")
    return {
        "user": ("user", chat.user),
        "metadata": ("metadata", chat.metadata),
        "cache_key": ("prompt_cache_key", chat.cache_key),
        "service_tier": ("service_tier", tier),
    }


def effort(chat: Chat) -> str | None:
    """How much the model is to think, in a word."""
    if chat.reasoning is None:
        return None
    word, budget = chat.reasoning.effort, chat.reasoning.budget
    return effort_of(budget) if word is None and budget is not None else word


def add_extra(body: dict[str, Any], extra: dict[str, Raw]) -> None:
    """Put hints in their own spelling into a request; in an object that is there, beside others."""
    for name, value in extra.items():
        own = body.get(name)
        body[name] = own | _fields.decode(value) if isinstance(own, dict) else value


def _mode(word: str, fields: Fields, field: str) -> _Mode:
    mode = _MODES.get(word)
    if mode is None:
        raise fields.wrong(field, _CHOICE)
    return mode


def _name(fields: Fields) -> str:
    """Of ``{"type": "function", "function": {"name": …}}``; the inner object may be left out."""
    kind = fields.take("type", f.TEXT) or "function"
    return (fields.object(kind) or fields).need("name", f.TEXT)
