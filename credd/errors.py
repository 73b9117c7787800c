"""Every error credd raises on purpose, and how it travels through the socket.

Rules: an error says what happened (`detail`), and what to do next (`remedy`, a command one can
paste). Both are our own words plus credential names; an issuer's text never enters them. The same
class is raised in the daemon, written as problem+json (RFC 9457), and raised again in the client.

The tree, with the exit status of the commands:

    CreddError                1   something is wrong inside credd
    |-- BadRequest            2   the caller asked for something that makes no sense
    |-- DaemonUnreachable     3   nobody listens at the socket
    |-- LoginRequired         4   a person must log in
    |-- Denied                5   not to you, or not for that host
    |-- Locked                6   the vault's key is not at hand
    |-- UpstreamUnavailable   7   the issuer can't be reached; try later
    |-- UnknownCredential     8   no credential of that name
    |-- Misconfigured         9   the configuration or the request can never work
    `-- AnotherDaemon        10   another daemon serves this vault or socket
"""

from __future__ import annotations

# `from typing import ...` is left out on purpose: credd-token stands on this file.

PROBLEM_TYPE = "urn:credd:problem:"
"""Prefix of a problem's `type` (RFC 9457, 3.1.1); the error's code follows."""


class CreddError(Exception):
    """The root: whoever catches this catches everything credd raises on purpose.

    `detail` says what happened; `remedy` is a command to paste, or "" where there is none;
    `reason` is a finer machine-readable word (`reply_lost`, `invalid_grant`), or "";
    `retry_after` is in seconds, or None.
    """

    code = "internal_error"
    title = "something went wrong inside credd"
    status = 500
    exit_code = 1
    retryable = False

    def __init__(
        self,
        detail: str = "",
        *,
        remedy: str = "",
        reason: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.remedy = remedy
        self.reason = reason
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.detail, self.remedy, self.reason, self.retry_after))


class BadRequest(CreddError):
    """The request itself is wrong: a bad name, a bad number, an unknown field."""

    code = "bad_request"
    title = "the request makes no sense"
    status = 400
    exit_code = 2


class DaemonUnreachable(CreddError):
    """Nobody listens at the socket, or nobody whom we may trust."""

    code = "daemon_unreachable"
    title = "the credd daemon can't be reached"
    status = 503
    exit_code = 3
    retryable = True


class LoginRequired(CreddError):
    """A person must log in before this credential works (again)."""

    code = "login_required"
    title = "a login is needed"
    status = 401
    exit_code = 4


class Denied(CreddError):
    """The caller may not have this, or the token may not go there."""

    code = "denied"
    title = "denied"
    status = 403
    exit_code = 5


class Locked(CreddError):
    """The vault is closed: its key is not at hand, or someone locked it."""

    code = "locked"
    title = "the vault is locked"
    status = 423
    exit_code = 6


class UpstreamUnavailable(CreddError):
    """The issuer can't be reached or refuses for the moment; asking again later helps."""

    code = "upstream_unavailable"
    title = "the issuer can't be reached"
    status = 503
    exit_code = 7
    retryable = True


class UnknownCredential(CreddError):
    """No credential of that name is configured."""

    code = "unknown_credential"
    title = "no such credential"
    status = 404
    exit_code = 8


class Misconfigured(CreddError):
    """The configuration, or a request beyond what the issuer grants: retrying can't help."""

    code = "misconfigured"
    title = "misconfigured"
    status = 409
    exit_code = 9


class AnotherDaemon(CreddError):
    """Another daemon serves this vault or this socket."""

    code = "another_daemon"
    title = "another daemon serves this vault or socket"
    status = 409
    exit_code = 10


BY_CODE: dict[str, type[CreddError]] = {
    kind.code: kind
    for kind in (
        CreddError,
        BadRequest,
        DaemonUnreachable,
        LoginRequired,
        Denied,
        Locked,
        UpstreamUnavailable,
        UnknownCredential,
        Misconfigured,
        AnotherDaemon,
    )
}


def to_problem(error: CreddError) -> dict[str, object]:
    """The error as an RFC 9457 problem object, ready for JSON."""
    problem: dict[str, object] = {
        "type": PROBLEM_TYPE + error.code,
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "remedy": error.remedy,
        "retryable": error.retryable,
    }
    if error.reason:
        problem["reason"] = error.reason
    if error.retry_after is not None:
        problem["retry_after"] = error.retry_after
    return problem


def from_problem(problem: dict[str, object]) -> CreddError:
    """The error that a problem object stands for; an unknown code becomes a CreddError.

    Never raises: a newer daemon's problem, or a broken one, still has to reach a person.
    """
    kind = BY_CODE.get(str(problem.get("code", "")), CreddError)
    after = problem.get("retry_after")
    return kind(
        str(problem.get("detail", "")),
        remedy=str(problem.get("remedy", "")),
        reason=str(problem.get("reason", "")),
        retry_after=float(after) if isinstance(after, (int, float)) else None,
    )


def _rebuild(
    kind: type[CreddError], detail: str, remedy: str, reason: str, retry_after: float | None
) -> CreddError:
    return kind(detail, remedy=remedy, reason=reason, retry_after=retry_after)
