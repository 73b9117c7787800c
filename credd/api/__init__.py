"""The front door: who may ask, what may be asked, and how it is answered.

It knows the broker by the shapes of `interface.py` alone, and no provider and no vault. One table
(`routes.py`) is the server, the documentation and the test at once.
"""
