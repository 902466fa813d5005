"""Tokens: one file a source of upstream credentials; the contract is :mod:`proxy.token`."""
