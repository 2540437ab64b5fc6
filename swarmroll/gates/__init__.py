"""Checks of the world outside: each gate looks at one kind of thing; a keeper asks them."""
