"""Observers: what is told of a finished exchange, as one log line and as metrics.

Nothing in the engine calls a counter or a logger about an exchange; whoever wants to know
something of it finds it in the exchange when it is over.
"""
