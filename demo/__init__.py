"""The demonstration: a strict issuer, a tracking server and a training job around a real credd.

The issuer is the one the tests use too, so what the demo shows and what the tests hold credd
to is the same thing.
"""
