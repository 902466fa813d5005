"""Ways to cut a run of bytes, for tests that hold that it does not matter where bytes are cut."""

import itertools
import random
from collections.abc import Iterator


def cuts(data: bytes, *, seed: int = 0, random_ways: int = 8) -> Iterator[list[bytes]]:
    """`data` whole, byte by byte, and cut at random in `random_ways` ways, few pieces and many.

    The same `seed` gives the same cuts. No piece is empty, save that b"" comes whole as [b""].
    """
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    dice = random.Random(seed)
    borders = range(1, len(data))
    for _ in range(random_ways):
        # The square makes few cuts likelier: they leave the long pieces in which state hides.
        number = round(len(borders) * dice.random() ** 2)
        at = [0, *sorted(dice.sample(borders, number)), len(data)]
        yield [data[start:end] for start, end in itertools.pairwise(at) if start < end]
