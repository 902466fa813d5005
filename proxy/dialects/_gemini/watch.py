"""Finds the usage of a response that passes by, by a byte search."""

from proxy.dialects._gemini.wire import decode_usage
from proxy.framing.usage import UsageWatch


class MetadataWatch(UsageWatch):
    """Each chunk may have a `usageMetadata`, of all the stream so far: the last one counts."""

    __slots__ = ()
    key = b'"usageMetadata"'

    def _found(self, raw: bytes) -> bool:
        usage = decode_usage(raw)
        if usage is None:
            return False
        self.usage = usage
        return True
