"""What events are made of."""

from proxy.event import call_id


def test_a_call_gets_an_id_that_no_other_has() -> None:
    ids = {
        call_id(response, choice, index)
        for response in "ab"
        for choice in (0, 1)
        for index in (0, 1)
    }

    assert len(ids) == 8
    assert call_id("a", 0, 1) == call_id("a", 0, 1)
    assert all(each.startswith("call_") and len(each) == 29 for each in ids)
