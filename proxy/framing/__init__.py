"""Sans-IO framing: where heads, chunks and server-sent events begin and end in a run of bytes.

Nothing here reads, writes or waits. A decoder is fed bytes as they came, cut anywhere, and hands
back what they hold; where the cuts were never shows in what it says. Bytes that break the rules
raise `FramingError`, and a decoder that raised must not be fed again: there is no telling where
the next frame begins. All of it is strict, because a proxy that is lenient about borders can be
made to disagree with its neighbours about them (response splitting, request smuggling).
"""

_EXCERPT = 60


class FramingError(ValueError):
    """Bytes that are not what their protocol allows; the text says what was wrong with them.

    `decoded` is what the feed that raised had already decoded in front of the fault: bytes cut
    just there would have been handed out, so they may be delivered before the error is told.
    """

    def __init__(self, message: str, decoded: bytes = b"") -> None:
        super().__init__(message)
        self.decoded = decoded


def excerpt(raw: bytes | bytearray) -> str:
    """`raw` quoted and escaped for an error message, cut after at most 60 characters."""
    escaped = repr(bytes(raw[:_EXCERPT]))[2:-1]
    cut = len(raw) > _EXCERPT or len(escaped) > _EXCERPT
    return f"'{escaped[:_EXCERPT]}'{'…' if cut else ''}"
