"""Hands and eyes: the clock, requests, files that change, the listener, the network.

The world does what it is told and decides nothing. Every foreign error is translated here, at one
door each, so that no other room knows whose library performed a thing.
"""
