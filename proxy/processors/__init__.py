"""Processors: one file a processor; the contract is :mod:`proxy.processor`."""
