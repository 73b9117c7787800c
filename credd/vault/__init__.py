"""Secrets at rest: the only room that sees keys.

Rules: everything is sealed before it touches a disk; nothing that can't be read is ever written
over; a vault or a key is never made while one exists. What people are told when the vault can't be
opened stands in one table, reasons.py.

Read in this order: seal.py (an envelope), header.py (the data key, wrapped), keys.py (where the
wrapping keys come from), database.py (the file), store.py (records), vault.py (the whole, async).
"""
