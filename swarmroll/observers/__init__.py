"""Observers: told of what happens in a rollout, never asked anything."""
