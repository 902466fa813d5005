"""Dialects: one file an endpoint; the contract is :mod:`proxy.dialect`.

A file that begins with an underscore is no member: it holds what the endpoints of one API
family share.
"""
