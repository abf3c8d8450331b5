"""What went wrong at the edge, in one line for the person who can mend it."""

from __future__ import annotations


class BadInput(ValueError):
    """Input that cannot be used; the message names what is wrong, where, and what would be accepted."""


class Refused(Exception):
    """What was asked is well formed and must not be done now; the message says why. Exit code 3."""
