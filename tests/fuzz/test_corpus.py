"""What a fuzzer came upon is replayed: inputs that lead to every decoder's odd branches."""

import base64
import contextlib
from pathlib import Path

import pytest

from proxy.errors import ConfigError, ProxyError
from proxy.framing import FramingError
from tests.fuzz.test_decoders import DECODERS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_what_was_found_raises_nothing_but_the_decoders_own_errors(name: str) -> None:
    """``python -m tests.fuzz.guided --keep`` makes the corpus anew."""
    decode, _ = DECODERS[name]
    lines = (CORPUS / f"{name.replace(' ', '_')}.txt").read_text().splitlines()
    assert lines
    assert all(lines)
    for line in lines:
        with contextlib.suppress(FramingError, ProxyError, ConfigError):
            decode(base64.b64decode(line))
