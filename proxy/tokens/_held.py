"""What tokens share that are one value at a time, wherever it comes from."""

import logging
from typing import Self

from proxy.errors import BadCredentials
from proxy.token import Reference, Secret

MAX_BYTES = 64 << 10
"""Of a credential: nobody's is longer, and no server takes a header that is."""

log = logging.getLogger("proxy")


class Held(Reference):
    """A token that holds a credential; who is of this kind gets it, and gets it anew."""

    def adopt(self, fresh: Self) -> None:
        super().adopt(fresh)
        if "_secret" in vars(fresh):
            self.hold(fresh._secret)

    def hold(self, secret: Secret) -> None:
        """Give this one to whoever asks from now on."""
        self._secret = secret

    def holds(self, secret: Secret) -> bool:
        """Whether it is this one that is given now."""
        return bool(self._secret == secret)

    def reveal(self) -> str:
        try:
            return self._secret.reveal()
        except AttributeError:
            raise BadCredentials("the proxy has no credentials for the provider") from None

    def decoded(self, data: bytes, what: str) -> Secret:
        """The credential that a file or a program's output is, without a last line break.

        Raises ValueError, without a trace of it, that calls it `what`.
        """
        if len(data) > MAX_BYTES:
            raise ValueError(f"{what} is larger than {MAX_BYTES >> 10} KiB")
        data = data.removesuffix(b"\r\n" if data.endswith(b"\r\n") else b"\n")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{what} is not UTF-8") from None
        return self.secret(text, what)
