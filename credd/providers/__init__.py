"""How each identity service talks, through the Conversation it is handed.

Rules: a provider opens nothing, reads no clock and keeps nothing between two calls. It may import
core and the ground floor, and `jwt` for signatures. `catalog.py` shows the whole menu.
"""
