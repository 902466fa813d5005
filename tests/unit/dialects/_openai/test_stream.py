"""What decoders of streams do alike."""

import pytest

from proxy.dialects._openai.stream import StreamDecoder, raised, used
from proxy.errors import BadResponse, ProviderBroke
from proxy.event import End, Event, Failure, Text, Usage, Used
from proxy.exchange import Raw
from proxy.framing.sse import MAX_FRAME


class Decoder(StreamDecoder):
    """Takes each frame for a text, and `over` for the end."""

    def _read(self, frame: bytes, events: list[Event]) -> None:
        if b"over" in frame:
            self._over = True
            events.append(End())
        else:
            events.append(Text(frame.decode()))

    def _finish(self, events: list[Event]) -> None:
        events.append(Text("finished"))


def test_frames_are_read_until_it_is_over() -> None:
    decoder = Decoder()

    assert decoder.feed(b"a\n\nb") == [Text("a\n\n")]
    assert decoder.feed(b"\n\nover\n\nc\n\n") == [Text("b\n\n"), End()]
    assert decoder.feed(b"d\n\n") == decoder.close() == []


@pytest.mark.parametrize(
    ("rest", "events"),
    [
        (b'data: {"a":1}', [Text('data: {"a":1}'), Text("finished")]),
        (b"data: [DONE]", [Text("data: [DONE]"), Text("finished")]),
        (b'data: {"a":', [Text("finished")]),
        (b": comment", [Text("finished")]),
        (b"", [Text("finished")]),
        (b'data: "over"', [End()]),
    ],
)
def test_a_last_frame_counts_if_it_is_whole_but_for_its_blank_line(
    rest: bytes, events: list[Event]
) -> None:
    decoder = Decoder()
    decoder.feed(rest)

    assert decoder.close() == events


def test_a_frame_without_end_is_a_failure() -> None:
    decoder = Decoder()
    text, failure = decoder.feed(b"a\n\n" + b" " * (MAX_FRAME + 1))

    assert text == Text("a\n\n")
    assert isinstance(failure, Failure)
    assert type(failure.error) is BadResponse
    assert decoder.feed(b"\n\n") == decoder.close() == []


def test_usage() -> None:
    events: list[Event] = []
    for raw in (b"", b"null", b"{}", b'{"x":1}', b'{"prompt_tokens":3}'):
        used(Raw(raw), events)

    assert events == [Used(Usage(3))]


def test_a_failure_is_raised() -> None:
    assert raised([End()]) == [End()]
    with pytest.raises(ProviderBroke, match="no"):
        raised([Text("a"), Failure(ProviderBroke("no"))])
