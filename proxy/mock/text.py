"""What the mock provider invents: words, ids and times, all of them from a seed."""

import hashlib
import random
from email.utils import formatdate

# Some are longer in bytes than in letters, so that whoever cuts bytes meets cut letters.
WORDS = (
    *("a", "the", "and", "of", "to", "in", "is", "it", "that", "was", "on", "with", "as", "for"),
    *("stream", "token", "river", "stone", "light", "morning", "window", "paper", "signal"),
    *("quiet", "seven", "between", "answer", "travels", "slowly", "through", "copper", "wires"),
    *("naïve", "café", "größer", "Ελλάδα", "мир", "東京", "言葉", "🙂"),
)

_EPOCH = 1_735_689_600
_YEAR = 365 * 86_400


def fingerprint(seed: int, *parts: bytes) -> bytes:
    """What stands for `parts` under this seed: 16 bytes from which all else follows."""
    digest = hashlib.blake2b(b"%d" % seed, digest_size=16)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()


def generator(key: bytes, index: int = 0) -> random.Random:
    """The source of randomness for choice `index` of the request that `key` stands for."""
    return random.Random(key + b"%d" % index)


def words(rng: random.Random, count: int) -> list[str]:
    """`count` pieces that joined make a text: one word each, with the space before it."""
    if count <= 0:
        return []
    first, *rest = rng.choices(WORDS, k=count)
    return [first, *(" " + word for word in rest)]


def identifier(prefix: str, key: bytes, index: int = 0) -> str:
    """An id in a provider's style: the same for the same request."""
    return f"{prefix}{fingerprint(index, prefix.encode(), key).hex()[:24]}"


def created(seed: int) -> int:
    """Unix seconds at which everything under this seed is said to have happened."""
    return _EPOCH + seed % _YEAR


def date(seed: int) -> str:
    """The same moment as an HTTP date (RFC 9110 section 5.6.7)."""
    return formatdate(created(seed), usegmt=True)


def estimate_tokens(data: bytes) -> int:
    """Input tokens of `data`: a quarter of its bytes, at least one."""
    return max(1, len(data) // 4)
