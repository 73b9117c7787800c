"""The one room that knows everyone: it builds the daemon by hand, starts it, and stops it in
reverse.

`parts.py` is read from top to bottom like a parts list; the rest are the daemon's own few chores.
"""
