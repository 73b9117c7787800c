"""What the daemon itself finds wrong: the half of a check-up that only it can do.

It is handed facts and finds words for them: each finding has a place, a message, and a remedy.
"""
