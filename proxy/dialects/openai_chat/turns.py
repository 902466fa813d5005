"""The messages of a chat, as OpenAI's Chat spells them."""

from collections.abc import Iterable
from typing import Any

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
    Quirks,
    RefusalPart,
    ResultPart,
    TextPart,
    ThinkingPart,
)
from proxy.dialects._openai.parts import audio, file, image_url, marked, plainest
from proxy.dialects.openai_chat.wire import NAME, Detail, detail_of
from proxy.exchange import Raw

Body = dict[str, Any]


class MessageWriter:
    """Writes a chat's messages for one provider.

    A tool's result is text here, so what else is in it goes to the user message that follows.
    """

    __slots__ = ("_carried", "_marks", "_messages", "_omissions", "_own", "_quirks", "_thoughts")

    def __init__(self, chat: Chat, omissions: Omissions, quirks: Quirks) -> None:
        self._messages = chat.messages
        self._omissions = omissions
        self._quirks = quirks
        self._own = chat.origin == NAME
        # What a client of this dialect wrote itself it meant its provider to have.
        self._marks = quirks.cache_marks or ("cache_control" if self._own else "")
        self._thoughts = quirks.reasoning_field or ("reasoning_content" if self._own else "")
        self._carried: list[Part] = []

    def write(self) -> list[Body]:
        """All of them. Raises Unsupported."""
        written: list[Body] = []
        for message in self._messages:
            if message.role == "tool":
                written += self._results(message)
                continue
            parts = message.parts
            if self._carried and message.role == "user":
                parts = self._carried + parts
                self._carried = []
            written += self._attachments()
            if message.role == "assistant":
                body = self._assistant(parts)
            else:
                role = self._quirks.system_role if message.role == "system" else "user"
                body = {"role": role, "content": self._content(parts)}
            if message.name is not None:
                body["name"] = message.name
            written.append(body)
        return written + self._attachments()

    def mark(self, lifetime: str | None) -> Body:
        """The field that marks a part or a tool as the end of what is worth caching."""
        return marked(self._marks, lifetime, self._omissions)

    def _attachments(self) -> list[Body]:
        """What was carried over from results, in a message of its own."""
        carried, self._carried = self._carried, []
        return [{"role": "user", "content": self._content(carried)}] if carried else []

    def _results(self, message: Message) -> Iterable[Body]:
        for part in message.parts:
            assert isinstance(part, ResultPart)
            content = part.content
            if not self._own:
                content = [inner for inner in part.content if isinstance(inner, TextPart)]
                self._carried += [inner for inner in part.content if inner not in content]
            if part.cache is not None and content:
                content = [*content[:-1], msgspec.structs.replace(content[-1], cache=part.cache)]
            if part.error:
                self._omissions.hint("is_error")
            body = {"role": "tool", "tool_call_id": part.id, "content": self._content(content)}
            yield body | ({"name": part.name} if self._own and part.name is not None else {})

    def _assistant(self, parts: list[Part]) -> Body:
        body: Body = {"role": "assistant"}
        texts = [part for part in parts if isinstance(part, TextPart)]
        thoughts = [part for part in parts if isinstance(part, ThinkingPart)]
        refusals = [part.text for part in parts if isinstance(part, RefusalPart)]
        calls = [self._call(part) for part in parts if isinstance(part, CallPart)]
        content: list[Body | Raw] = [self._part(part) for part in texts]
        for part in parts:
            if isinstance(part, NativePart) and part.kind == "audio":
                body["audio"] = part.raw
            elif not isinstance(part, TextPart | ThinkingPart | RefusalPart | CallPart):
                content.append(self._part(part))
        body |= self._thinking(thoughts, content)
        if len(content) == len(texts) and all(len(part) == 2 for part in content):
            # Texts that follow each other are one: that is how they would have come from here.
            text = "".join(part.text for part in texts)
            body["content"] = text if text or not (calls or refusals) else None
        else:
            body["content"] = content
        if refusals:
            body["refusal"] = "".join(refusals)
        if calls:
            body["tool_calls"] = calls
        return body

    def _thinking(self, thoughts: list[ThinkingPart], content: list[Body | Raw]) -> Body:
        """What gives reasoning back; it may stand in front of `content`."""
        body: Body = {}
        details: list[Detail] = []
        words: list[str] = []
        for part in thoughts:
            if part.signature and part.origin == NAME:
                detail = detail_of(
                    *(part.text, part.signature, NAME), redacted=part.redacted, index=len(details)
                )
                details.append(detail)
            elif part.text and self._thoughts:
                words.append(part.text)
            else:
                self._omissions.hint("thinking")
        if details:
            body["reasoning_details"] = details
        if words and self._thoughts == "thinking":  # Mistral's
            said = [{"type": "text", "text": text} for text in words]
            content.insert(0, {"type": "thinking", "thinking": said})
        elif words:
            body[self._thoughts] = "".join(words)
        return body

    def _call(self, part: CallPart) -> Body:
        body: Body = {"id": part.id}
        if part.custom:
            body |= {"type": "custom", "custom": {"name": part.name, "input": part.arguments}}
        else:
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            body |= {"type": "function", "function": function}
        if part.signature and part.origin == NAME:
            body["extra_content"] = {"google": {"thought_signature": part.signature}}
        return body | self.mark(part.cache)

    def _content(self, parts: list[Part]) -> str | list[Body | Raw]:
        return plainest(parts, [self._part(part) for part in parts])

    def _part(self, part: Part) -> Body | Raw:
        body: Body
        if isinstance(part, NativePart):
            return part.raw
        if isinstance(part, TextPart):
            body = {"type": "text", "text": part.text}
        elif isinstance(part, ImagePart):
            image = {"url": image_url(part, self._omissions)}
            if part.detail is not None:
                image["detail"] = part.detail
            body = {"type": "image_url", "image_url": image}
        elif isinstance(part, AudioPart):
            body = audio(part)
        elif isinstance(part, FilePart):
            body = self._file(part)
        else:
            self._omissions.refuse(f"a {type(part).__name__}", param="messages")
        return body | self.mark(part.cache) | part.extra

    def _file(self, part: FilePart) -> Body:
        if part.text is not None:
            return {"type": "text", "text": part.text}
        if part.url is None:
            return {"type": "file", "file": file(part, self._omissions)}
        if not self._own:
            self._omissions.refuse("a file at a URL", param="messages")
        return {"type": "file", "file": {"file_data": part.url}}
