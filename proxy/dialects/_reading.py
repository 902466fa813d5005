"""What every dialect needs to read a request: clear words for what is wrong with it."""

import msgspec

from proxy.errors import BadRequest


def wrong(error: msgspec.ValidationError, where: str = "") -> BadRequest:
    """msgspec's words for a value that is not what it should be, with the field's whole path.

    `where` is the path of what was decoded, such as "messages.3.content.0".
    """
    what, _, at = str(error).partition(" - at `$")
    path = at.rstrip("`").replace("[", ".").replace("]", "").removeprefix(".")
    name = ".".join(filter(None, (where, path)))
    if not name:
        return BadRequest(what)
    return BadRequest(f"`{name}`: {what[0].lower()}{what[1:]}", param=name)
