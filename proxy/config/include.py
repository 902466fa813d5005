"""``include``: one configuration in several files."""

import os
from collections.abc import Mapping

from proxy.config.environment import interpolate
from proxy.config.lines import KeyPath
from proxy.config.source import Place, Source, match, quote, read
from proxy.errors import ConfigError

KEY = "include"
MAX_DEPTH = 8
"""Files on the way from the first one to the last."""


def include(source: Source, environ: Mapping[str, str]) -> None:
    """Take into `source` what the files say that it includes, and those that they include.

    Relative names start from the folder of the file that they stand in. A file comes before what
    it includes, and that in the order of the list; what a glob matches is sorted. Raises
    ConfigError with everything that is wrong with it.
    """
    including = _Including(source, environ)
    including.follow(_take_out(source), (os.path.realpath(source.name),))
    if including.problems:
        raise ConfigError(including.problems)


class _Including:
    def __init__(self, whole: Source, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._whole = whole
        self._environ = environ
        self._seen: dict[str, Place] = {}
        """Where each file is included, by its real path."""

    def follow(self, source: Source, chain: tuple[str, ...]) -> None:
        """Take in what `source` includes; `chain` is the files on the way to it, and itself."""
        patterns = source.tree[KEY]
        for position, pattern in enumerate(patterns if isinstance(patterns, list) else [patterns]):
            path = (KEY, position)
            try:
                files = self._files(source, pattern, path)
            except ValueError as error:
                self.problems.append(f"{source.at(path)}: {error}")
                continue
            for file in files:
                try:
                    self._file(file, source.place(path), chain)
                except ValueError as error:
                    self.problems.append(f"{source.at(path)}: {error}")

    def _files(self, source: Source, pattern: object, path: KeyPath) -> list[str]:
        if not isinstance(pattern, str) or not pattern:
            raise ValueError("expected a file, or a glob of files")
        pattern = interpolate(pattern, self._environ)
        folder = os.path.dirname(source.name)
        if not any(character in pattern for character in "*?["):
            return [os.path.join(folder, pattern)]
        found = self._whole.globs[folder, pattern] = match(folder, pattern)
        if not found:
            self._whole.warnings.append(f"{source.at(path)}: {quote(pattern)} matches no file")
        return [os.path.join(folder, name) for name in found]

    def _file(self, file: str, place: Place, chain: tuple[str, ...]) -> None:
        real = os.path.realpath(file)
        if real in chain:
            way = " -> ".join(os.path.basename(step) for step in (*chain, real))
            raise ValueError(f"{file} includes itself ({way})")
        if real in self._seen:
            raise ValueError(f"{file} is included already, at {self._seen[real]}")
        if len(chain) == MAX_DEPTH:
            raise ValueError(f"{file} is nested too deeply (at most {MAX_DEPTH} files)")
        self._seen[real] = place
        try:
            added = read(file)
        except ConfigError as error:
            self.problems += [f"{problem} (included at {place})" for problem in error.problems]
            return
        further = _take_out(added)
        self.problems += self._whole.add(added)
        self.follow(further, (*chain, real))


def _take_out(source: Source) -> Source:
    """What `source` says of files to include, which it then no longer does."""
    return Source(source.name, {KEY: source.tree.pop(KEY, [])}, dict(source.places))
