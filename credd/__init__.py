"""credd: a background agent that always has a good access token.

Importing this package imports nothing else: the names below are loaded the first time they are
used. A training job pays for what it calls, and for nothing of the daemon.

>>> import credd
>>> token = credd.get_token("lab")  # doctest: +SKIP
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's: importing typing would cost a job more than all of credd
if TYPE_CHECKING:
    from credd.client.sync import Client, TokenSource, get_token
    from credd.errors import (
        AnotherDaemon,
        CreddError,
        DaemonUnreachable,
        Denied,
        Locked,
        LoginRequired,
        Misconfigured,
        UnknownCredential,
        UpstreamUnavailable,
    )

__version__ = "0.1.0"

_HOMES = {
    "Client": "credd.client.sync",
    "TokenSource": "credd.client.sync",
    "get_token": "credd.client.sync",
    "aio": "credd.client.aio",
    "AnotherDaemon": "credd.errors",
    "CreddError": "credd.errors",
    "DaemonUnreachable": "credd.errors",
    "Denied": "credd.errors",
    "Locked": "credd.errors",
    "LoginRequired": "credd.errors",
    "Misconfigured": "credd.errors",
    "UnknownCredential": "credd.errors",
    "UpstreamUnavailable": "credd.errors",
}

__all__ = [
    "AnotherDaemon",
    "Client",
    "CreddError",
    "DaemonUnreachable",
    "Denied",
    "Locked",
    "LoginRequired",
    "Misconfigured",
    "TokenSource",
    "UnknownCredential",
    "UpstreamUnavailable",
    "__version__",
    "get_token",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'credd' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_HOMES[name])
    value = module if name == "aio" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
