"""The ways to cut bytes that the other tests rely on."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.testing import cuts


@given(st.binary(max_size=50), st.integers(0, 2**32), st.integers(0, 10))
def test_every_cutting_is_of_the_same_bytes(data: bytes, seed: int, ways: int) -> None:
    found = list(cuts(data, seed=seed, random_ways=ways))
    assert len(found) == 2 + ways
    assert found[0] == [data]
    assert found[1] == [bytes([byte]) for byte in data]
    for pieces in found[1:]:
        assert b"".join(pieces) == data
        assert all(pieces)


def test_the_same_seed_cuts_the_same_and_another_does_not() -> None:
    data = bytes(range(200))
    assert list(cuts(data, seed=1)) == list(cuts(data, seed=1))
    assert list(cuts(data, seed=1)) != list(cuts(data, seed=2))


def test_random_cuttings_are_coarse_and_fine() -> None:
    counts = [len(pieces) for pieces in cuts(bytes(200), random_ways=50)][2:]
    assert min(counts) < 20
    assert max(counts) > 150
