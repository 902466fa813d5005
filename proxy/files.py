"""Files whose content is watched: read whole, and no more than is asked for."""

import os
import stat


def read_file(file: str, limit: int) -> bytes:
    """All of `file`, at most `limit` bytes.

    Raises ValueError, without a trace of what it holds, that says why that cannot be had.
    """
    try:
        # Opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError(f"{file} is not a file")
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise ValueError(f"{file}: no such file") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise ValueError(f"{file} is larger than {limit >> 10} KiB")
    return data
