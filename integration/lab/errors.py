"""What can go wrong with the lab itself, as opposed to what is tested in it."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not be built, started or restored."""


class NotReachable(LabError):
    """A part of a swarm does not answer; it may again in a moment."""


class LabUnavailable(LabError):
    """This machine offers no way at all to run a lab; no fault of ours or of the tests."""
