"""credd-ctl: the control command for people.

A table of commands (`app.VERBS`), one short function a verb, rendering (`render`, `live`) apart
from doing. It talks to the daemon through `credd.client` alone, and is the only writer of
config.toml. It never imports aiohttp, keyring or cryptography: a command that talks to a person
starts at once, and keys stay in the daemon.
"""
