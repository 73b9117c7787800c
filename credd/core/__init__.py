"""The quiet heart: what credd knows and decides, without touching anything.

No room here opens a file or a socket, reads a clock, throws dice or starts a task. Time and dice
come in as arguments, so a month of refreshing is tested in milliseconds.
"""
