"""The messages of a chat, as the input of OpenAI's Responses."""

from collections.abc import Iterator
from typing import Any

from proxy.chat import (
    AudioPart,
    CallPart,
    Chat,
    FilePart,
    ImagePart,
    NativePart,
    Omissions,
    Part,
    Quirks,
    RefusalPart,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._openai.parts import audio, file, image_url, marked, plainest
from proxy.dialects.openai_responses.wire import NAME, unpack
from proxy.exchange import Raw

Body = dict[str, Any]


class InputWriter:
    """Writes a chat's messages for one provider, as items."""

    __slots__ = ("_custom", "_marks", "_messages", "_omissions", "_role")

    def __init__(self, chat: Chat, omissions: Omissions, quirks: Quirks) -> None:
        self._messages = chat.messages
        self._omissions = omissions
        self._role = quirks.system_role
        own = chat.origin == NAME or quirks.cache_marks == "prompt_cache_breakpoint"
        self._marks = "prompt_cache_breakpoint" if own else ""
        self._custom = {
            part.id
            for message in chat.messages
            for part in message.parts
            if isinstance(part, CallPart) and part.custom
        }

    def instructions(self) -> str | None:
        """What the model is told first, if that is one text; it is then none of the items."""
        if len(self._messages) < 2:
            return None
        first = self._messages[0]
        if first.role != "system" or len(first.parts) != 1:
            return None
        part = first.parts[0]
        if not isinstance(part, TextPart) or part.cache is not None:
            return None
        self._messages = self._messages[1:]
        return part.text

    def write(self) -> list[Body | Raw]:
        """The items. Raises Unsupported."""
        written: list[Body | Raw] = []
        for message in self._messages:
            if message.name is not None:
                self._omissions.hint("name")
            if message.role == "assistant":
                written += self._assistant(message.parts)
            elif message.role == "tool":
                written += [self._result(part) for part in message.parts]
            else:
                role = self._role if message.role == "system" else "user"
                written.append({"role": role, "content": self._content(message.parts)})
        return written

    def _assistant(self, parts: list[Part]) -> Iterator[Body | Raw]:
        said: list[TextPart | RefusalPart] = []
        for part in parts:
            if isinstance(part, TextPart | RefusalPart):
                said.append(part)
                continue
            yield from self._said(said)
            said = []
            if isinstance(part, CallPart):
                yield self._call(part)
            elif isinstance(part, NativePart):
                yield part.raw
            elif isinstance(part, ThinkingPart):
                yield from self._thinking(part)
            else:
                what = f"a {type(part).__name__} of an assistant"
                self._omissions.refuse(what, param="messages")
        yield from self._said(said)

    def _said(self, parts: list[TextPart | RefusalPart]) -> Iterator[Body]:
        if not parts:
            return
        content: list[Body] = []
        for part in parts:
            if isinstance(part, RefusalPart):
                content.append({"type": "refusal", "refusal": part.text})
            else:
                content.append({"type": "output_text", "text": part.text})
        if all(isinstance(part, TextPart) for part in parts):
            yield {"role": "assistant", "content": "".join(part.text for part in parts)}
        else:
            yield {"type": "message", "role": "assistant", "content": content}

    def _thinking(self, part: ThinkingPart) -> Iterator[Body]:
        if part.origin != NAME or not part.signature:
            self._omissions.hint("thinking")
            return
        identifier, encrypted = unpack(part.signature)
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        item: Body = {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}
        yield item | ({"id": identifier} if identifier else {})

    def _call(self, part: CallPart) -> Body:
        call = {"call_id": part.id, "name": part.name}
        if part.custom:
            return {"type": "custom_tool_call", **call, "input": part.arguments}
        return {"type": "function_call", **call, "arguments": part.arguments or "{}"}

    def _result(self, part: Part) -> Body:
        assert isinstance(part, ResultPart)
        if part.error:
            self._omissions.hint("is_error")
        kind = "custom_tool_call_output" if part.id in self._custom else "function_call_output"
        return {"type": kind, "call_id": part.id, "output": self._content(part.content)}

    def _content(self, parts: list[Part]) -> str | list[Body | Raw]:
        return plainest(parts, [self._part(part) for part in parts])

    def _part(self, part: Part) -> Body | Raw:
        body: Body
        if isinstance(part, NativePart):
            return part.raw
        if isinstance(part, TextPart):
            body = {"type": "input_text", "text": part.text}
        elif isinstance(part, ImagePart):
            body = {"type": "input_image", "detail": part.detail or "auto", **self._image(part)}
        elif isinstance(part, AudioPart):
            body = audio(part)
        elif isinstance(part, FilePart):
            body = self._file(part)
        else:
            self._omissions.refuse(f"a {type(part).__name__}", param="messages")
        return body | marked(self._marks, part.cache, self._omissions) | part.extra

    def _image(self, part: ImagePart) -> Body:
        if part.file_id is not None and part.origin == NAME:
            return {"file_id": part.file_id}
        return {"image_url": image_url(part, self._omissions)}

    def _file(self, part: FilePart) -> Body:
        if part.text is not None:
            return {"type": "input_text", "text": part.text}
        if part.url is not None:
            return {"type": "input_file", "file_url": part.url}
        return {"type": "input_file", **file(part, self._omissions)}
