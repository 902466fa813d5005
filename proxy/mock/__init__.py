"""The mock provider: a server that speaks the providers' dialects and invents its answers.

One thing in several files. ``server`` routes and does what a model's name asks for; ``settings``,
``delay`` and ``behaviour`` read what was asked of it; ``text``, ``schema`` and ``answer`` invent;
``reply`` is what a dialect makes of a request, and each dialect family has modules of its own:
``chat``, ``completions``, ``embeddings`` and ``responses`` over ``openai``.

Everything in a response, its head included, follows from the seed and the request: the same
request gets the same bytes.
"""

from proxy.mock.server import Mock, start_mock
from proxy.mock.settings import MockSettings

__all__ = ["Mock", "MockSettings", "start_mock"]
