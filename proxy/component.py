"""A component: anything that ``type = "…"`` in the configuration can name.

A component *is* its configuration section: its annotated fields are the keys, their docstring
is the key's documentation, and what it needs at run time it makes in :meth:`open`. Fields are
set at construction and never change; private state goes into underscore attributes.
"""

from typing import Self

import msgspec


class Component(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The life of every component: built from its section, opened, used, closed."""

    async def open(self) -> None:
        """Make what running needs. Raising ConfigError keeps the configuration from loading."""

    async def close(self) -> None:
        """Give back what `open` took; called once, after the last exchange that used it."""

    def like(self, other: "Component") -> bool:
        """Whether this one, of a configuration loaded anew, would do what `other` does."""
        return type(self) is type(other) and self == other

    def adopt(self, fresh: Self) -> None:
        """Go on in the place of `fresh`, which is like this one and was never opened."""


def overrides(component: Component, hook: str) -> bool:
    """Whether a component has a hook of its own, and not that of its family's contract."""
    kind = type(component)
    # The contract is what stands right above Component among those that the class goes back to.
    contract = kind.__mro__[kind.__mro__.index(Component) - 1]
    return getattr(kind, hook) is not getattr(contract, hook)
