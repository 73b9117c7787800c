"""Having the daemon read config.toml again, after credd-ctl or a person changed it.

The one hard thing: a daemon that finds something wrong keeps the old configuration, so a reload
that was answered is not yet a reload that was done.
"""

from __future__ import annotations

from credd import wire
from credd.ctl import render
from credd.ctl.output import say
from credd.ctl.session import Session
from credd.errors import Misconfigured


def reload_config(session: Session) -> wire.ReloadReply:
    """Reload, and say every finding on stderr.

    Raises Misconfigured where the daemon keeps the old configuration.
    """
    reply = session.client().reload()
    for finding in reply["findings"]:
        say(render.finding_line(finding))
    if not reply["applied"]:
        raise Misconfigured(
            "the daemon keeps its old configuration, because of the findings above",
            remedy=first_remedy(reply) or session.config().edit_command(),
        )
    return reply


def first_remedy(reply: wire.ReloadReply) -> str:
    """The first finding's remedy, or ""."""
    return next((item["remedy"] for item in reply["findings"] if item["remedy"]), "")
