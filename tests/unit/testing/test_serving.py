"""What a test knows of the proxy that serves it; that it serves is for the tests with sockets."""

import pytest

from proxy.errors import ConfigError
from proxy.testing import ProxyURL, serve
from proxy.testing.serving import _Memory


def test_a_url_is_a_string_that_has_the_log_at_hand() -> None:
    url = ProxyURL("http://127.0.0.1:1")
    url._writer = _Memory()
    url._writer.write(b'{"event":"ready"}\n')
    url._writer.write(b'{"event":"exchange","status":200}\n')
    url._writer.flush()

    assert url + "/v1" == "http://127.0.0.1:1/v1"
    assert url.lines == [{"event": "ready"}, {"event": "exchange", "status": 200}]
    assert url.exchanges == [{"event": "exchange", "status": 200}]


async def test_a_configuration_that_cannot_be_used_is_told_before_anything_listens() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        async with serve("[server]\nlisten_to = 1\n"):
            pytest.fail("it serves")
