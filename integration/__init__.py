"""Tests against real, multi-node swarms."""
