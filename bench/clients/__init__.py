"""
The peers, each the whole program that a user would write: `python FILE URL SERVICE IMAGE`.

They are started as files, in processes of their own; what they import is part of what they cost.
"""
