"""A credential in a file, read again when it changes.

The file is read every few seconds, and what it holds compared: that sees a change through the
symlinks that Kubernetes and Vault swap, on network file systems, and where a time stamp lies.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Annotated, Self

from msgspec import Meta

from proxy.files import read_file
from proxy.tasks import spawn
from proxy.token import Secret
from proxy.tokens._held import MAX_BYTES, Held, log

INTERVAL = 2.0
"""Seconds between two readings."""


class File(Held):
    """What a file holds, written ``"file:/path"`` for short; a last line break is no part of it."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="The file; a relative one starts from the configuration's folder.",
            examples=["/run/secrets/openai"],
        ),
    ]

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The token that ``"file:/path"`` spells."""
        if not text:
            raise ValueError('"file:" is not followed by a path')
        return cls(path=text)

    def __str__(self) -> str:
        return f"file:{vars(self).get('_file', self.path)}"

    def resolve(self, environ: Mapping[str, str], directory: str) -> None:
        self._file = os.path.join(directory, self.path)
        self._problem = ""
        self.hold(self._read())

    async def open(self) -> None:
        self._watching = spawn(self._watch(), f"watch {self}")

    async def close(self) -> None:
        self._watching.cancel()

    def refresh(self) -> None:
        """Read the file again; where that fails the old credential stays, and the log says so."""
        try:
            secret = self._read()
        except ValueError as error:
            if str(error) != self._problem:
                log.warning("%s: %s; the old credential stays in use", self._place, error)
            self._problem = str(error)
            return
        if self._problem or not self.holds(secret):
            log.info("%s: read again from %s", self._place, self._file)
        self._problem = ""
        self.hold(secret)

    def _read(self) -> Secret:
        """What the file holds; raises ValueError that says why it cannot be a credential."""
        return self.decoded(read_file(self._file, MAX_BYTES), self._file)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await asyncio.to_thread(self.refresh)
