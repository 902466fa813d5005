"""Urls: one file a way of choosing where requests go; the contract is :mod:`proxy.url`."""
