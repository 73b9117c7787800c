"""What an answer means that isn't the one asked for: the error it stands for, or a pause.

It is loaded only when something went wrong, and so it may load json. It refuses to wait itself. The
one hard thing: naming no pause that ends after the deadline; the caller gets the error while there
is time to do something about it.
"""

from __future__ import annotations

import json

from credd.client.raw import Reply
from credd.errors import CreddError, from_problem


def pause_or_raise(reply: Reply, left: float, pause: float) -> float:
    """Seconds until the question is worth asking again; else raise the error of the reply.

    Only a problem that calls itself retryable is, after its Retry-After or else our own `pause`,
    and only if that ends before the `left` seconds do.
    """
    problem = read_problem(reply)
    error = error_of(reply, problem)
    wait = pause if error.retry_after is None else max(error.retry_after, 0.0)
    if problem.get("retryable") is not True or wait >= left:
        raise error
    return wait


def error_of(reply: Reply, problem: dict[str, object]) -> CreddError:
    """The error of a reply; where the body is no problem of ours, one that names the status."""
    if not problem:
        return CreddError(
            f"the daemon answered with status {reply.status}, and not as this version understands",
            remedy="credd-ctl version",
        )
    error = from_problem(problem)
    if error.retry_after is None:
        error.retry_after = _seconds(reply.headers.get("retry-after", ""))
    return error


def read_problem(reply: Reply) -> dict[str, object]:
    """The problem object (RFC 9457) in a reply, or {} where there is none of ours."""
    try:
        problem = json.loads(reply.body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) and "code" in problem else {}


def _seconds(header: str) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3); the daemon never sends its other form, a date."""
    return float(header) if header.isdigit() else None
