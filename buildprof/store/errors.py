"""What can go wrong with the store, each in one line for a person."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used, or has no such answer; the message is one line and holds no password."""


class NotFound(StoreError):  # noqa: N818 - the name says what happened
    """Nothing in the store answers to what was asked for."""


class Ambiguous(StoreError):  # noqa: N818 - the name says what happened
    """More than one build answers to a prefix."""
