"""Fakes that hold credd to account."""
