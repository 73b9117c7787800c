"""The audit trail: who was given which generation, when; a line a deed, chained by hash.

It knows files and hashes, and no token: a deed has no place for one. `trail.py` is what the daemon
tells; `chain.py` is the arithmetic; `files.py` the disk; `checking.py` finds what was changed.
"""
