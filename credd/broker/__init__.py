"""The one who decides: who gets which token, when to refresh, what a login leaves behind.

It is handed its collaborators (a keeper, surroundings, providers) and picks none of them.
"""
