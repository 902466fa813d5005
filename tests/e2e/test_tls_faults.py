"""What breaks, breaks by TLS as it does without: tests of faults again, both sides HTTPS."""

import pytest

from tests.authority import Authority
from tests.e2e import test_client_faults as client_faults
from tests.e2e import test_stream_faults as stream_faults
from tests.e2e.conftest import Scenes
from tests.e2e.test_client_faults import STREAMING, Leave, leaves

test_a_client_leaves_early = client_faults.test_a_client_that_leaves_while_the_provider_thinks
test_a_stream_breaks = stream_faults.test_a_stream_that_breaks
test_a_body_is_cut_short = stream_faults.test_a_body_that_is_cut_short_is_not_presented_as_whole
test_a_body_ends_with_its_connection = stream_faults.test_a_body_that_ends_with_its_connection


@pytest.fixture
def secured(authority: Authority) -> Authority:
    return authority


@leaves
@pytest.mark.parametrize("kind", ["silent", "no events", "passed through"])
async def test_a_client_leaves(scene: Scenes, kind: str, leave: Leave) -> None:
    again = client_faults.test_a_client_that_leaves_while_the_provider_answers
    raw, script = STREAMING[kind]
    await again(scene, raw, script, leave)
