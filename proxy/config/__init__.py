"""The configuration: one thing in several files, from the text of a file to checked settings.

- :mod:`~proxy.config.sections`: what can be configured; the documentation of every key
- :mod:`~proxy.config.source`, :mod:`~proxy.config.lines`: TOML, and where in it a key stands
- :mod:`~proxy.config.include`, :mod:`~proxy.config.environment`: what other files and variables add
- :mod:`~proxy.config.address`, :mod:`~proxy.config.listen`: where to listen, where a provider is
- :mod:`~proxy.config.kinds`: the types of keys, taken apart
- :mod:`~proxy.config.conversion`: one table to one struct, key by key, every problem collected
- :mod:`~proxy.config.validation`: the whole tree to :class:`~proxy.config.sections.Settings`
- :mod:`~proxy.config.crosschecks`: what sections say of each other that is hardly meant
- :mod:`~proxy.config.load`: which configuration it is, and what environment and flags add to it
- :mod:`~proxy.config.effective`: settings as text again, secrets masked
- :mod:`~proxy.config.changes`: what differs between two of them
- :mod:`~proxy.config.schema`, :mod:`~proxy.config.starter`, :mod:`~proxy.config.document`: the
  same structs for editors, for beginners, and for readers
"""
