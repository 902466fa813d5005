"""Parts of messages that Chat and Responses spell nearly alike."""

import json
from typing import Any

import pytest

from proxy.chat import AudioPart, FilePart, ImagePart, Omissions, TextPart
from proxy.dialects._openai import parts
from proxy.dialects._openai.fields import Fields
from proxy.errors import BadRequest, Unsupported
from proxy.exchange import Raw

URL = "https://example.com/a"


def fields(**values: Any) -> Fields:
    return Fields({name: Raw(json.dumps(value).encode()) for name, value in values.items()}, "p")


def omissions() -> Omissions:
    return Omissions("x", reject=False)


@pytest.mark.parametrize(
    ("mark", "lifetime"),
    [
        ({}, None),
        ({"cache_control": {"type": "ephemeral"}}, ""),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "1h"),
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}, "30m"),
    ],
)
def test_cache_marks_are_read(mark: dict[str, Any], lifetime: str | None) -> None:
    assert parts.cache_mark(fields(**mark)) == lifetime


@pytest.mark.parametrize(
    ("spelling", "lifetime", "field"),
    [
        ("cache_control", None, {}),
        ("cache_control", "", {"cache_control": {"type": "ephemeral"}}),
        ("cache_control", "30m", {"cache_control": {"type": "ephemeral"}}),
        ("cache_control", "5m", {"cache_control": {"type": "ephemeral", "ttl": "5m"}}),
        ("prompt_cache_breakpoint", "5m", {"prompt_cache_breakpoint": {"mode": "explicit"}}),
    ],
)
def test_cache_marks_are_written(
    spelling: str, lifetime: str | None, field: dict[str, Any]
) -> None:
    assert parts.marked(spelling, lifetime, omissions()) == field


def test_a_mark_that_nobody_knows_is_left_out() -> None:
    left = omissions()

    assert parts.marked("", "", left) == {}
    assert left.names == ["cache_control"]


def test_images() -> None:
    url = parts.read_image(URL, fields(), "url")
    data = parts.read_image("data:image/gif;base64,AA", fields(), "url")

    assert (url, data) == (ImagePart(url=URL), ImagePart(data="AA", media_type="image/gif"))
    assert parts.image_url(url, omissions()) == URL
    assert parts.image_url(data, omissions()) == "data:image/gif;base64,AA"
    with pytest.raises(BadRequest, match=r"`p.url` must be a URL"):
        parts.read_image("data:x,y", fields(), "url")
    with pytest.raises(Unsupported):
        parts.image_url(ImagePart(file_id="f"), omissions())


@pytest.mark.parametrize(
    ("form", "media_type"), [("mp3", "audio/mpeg"), ("wav", "audio/wav"), ("flac", "audio/flac")]
)
def test_sounds(form: str, media_type: str) -> None:
    part = parts.read_audio(fields(data="AA", format=form))

    assert part == AudioPart(data="AA", media_type=media_type)
    assert parts.audio(part)["input_audio"] == {"data": "AA", "format": form}


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"file_id": "f"}, FilePart(file_id="f", origin="openai_chat")),
        ({"file_url": URL, "filename": "n"}, FilePart(url=URL, name="n")),
        ({"file_data": URL}, FilePart(url=URL)),
        ({"file_data": "data:text/csv;base64,AA"}, FilePart(data="AA", media_type="text/csv")),
        (
            {"file_data": "AA", "filename": "a.csv"},
            FilePart(data="AA", media_type="text/csv", name="a.csv"),
        ),
        (
            {"file_data": "AA", "filename": "a"},
            FilePart(data="AA", media_type="application/pdf", name="a"),
        ),
    ],
)
def test_files_are_read(values: dict[str, Any], part: FilePart) -> None:
    assert parts.read_file(fields(**values), "openai_chat") == part


def test_files_are_written() -> None:
    def written(part: FilePart) -> dict[str, Any]:
        return parts.file(part, omissions())

    assert written(FilePart(data="AA", media_type="text/csv")) == {
        "file_data": "data:text/csv;base64,AA"
    }
    assert written(FilePart(data="AA"))["filename"] == "document.pdf"
    assert written(FilePart(file_id="f", origin="openai_responses")) == {"file_id": "f"}
    with pytest.raises(Unsupported):
        written(FilePart(file_id="f", origin="gemini"))


def test_what_is_one_plain_text_is_written_as_it() -> None:
    text = TextPart(text="a")
    plain = {"type": "text", "text": "a"}

    assert parts.plainest([], []) == ""
    assert parts.plainest([text], [plain]) == "a"
    assert parts.plainest([text], [plain | {"cache_control": {}}]) == [
        plain | {"cache_control": {}}
    ]
    assert parts.plainest([text, text], [plain, plain]) == [plain, plain]
