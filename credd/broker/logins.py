"""Logins as conversations that outlive their caller.

Rules: a login is a task of its own with a deadline of its own; whoever watches it gets all its
events from the first one on, and may go away and come back. What a person answers is a Secret from
the first moment. A login changes nothing until it is won: then the grant is adopted, and only then
it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from credd import wire
from credd.broker.broker import Broker
from credd.broker.grants import Grants, see_through
from credd.broker.login_talk import Ask, Login, LoginTalk, Plan
from credd.broker.renewing import defect_of
from credd.broker.surroundings import Surroundings
from credd.core.conversation import Authorization, NeverSent, ReplyLost
from credd.core.failures import Failed, Kind, detail_of, judge_exception
from credd.core.instant import Instant
from credd.core.keeping import NotKept
from credd.core.model import Credential, Secret
from credd.errors import (
    BadRequest,
    CreddError,
    Denied,
    LoginRequired,
    Misconfigured,
    UnknownCredential,
    UpstreamUnavailable,
    to_problem,
)

log = logging.getLogger(__name__)

TIME_OUT = 300.0
"""Seconds a login may take when nobody says: the life of a usual device code, and a walk to the
phone."""

LONGEST = 1800.0
"""Seconds; no issuer known to us lets a device code live longer."""

FINISHED_KEPT = 32
"""Finished logins whose end can still be read: a client that lost its connection comes back for
it."""


class Logins:
    """Starts logins, feeds their watchers, takes their answers.

    `plan` checks a request against configuration and catalogue; `open_vault` makes sure that there
    is a place to keep what is won, and may ask for a passphrase.
    """

    def __init__(
        self,
        broker: Broker,
        grants: Grants,
        around: Surroundings,
        plan: Callable[[wire.LoginRequest], Plan],
        open_vault: Callable[[str, Ask], Awaitable[None]],
    ) -> None:
        self._broker = broker
        self._grants = grants
        self._around = around
        self._plan = plan
        self._open_vault = open_vault
        self._logins: dict[str, Login] = {}

    async def start(self, request: wire.LoginRequest) -> wire.LoginReply:
        """Start a login, or find again the unfinished one of the same credential.

        Raises BadRequest, UnknownCredential or Misconfigured where it can't be started.
        """
        plan = self._plan(request)
        name = plan.credential.name
        while (unfinished := self._unfinished(name)) is not None:
            if _is_same(unfinished.plan, plan):
                return {"id": unfinished.id, "name": name, "resumed": True}
            await self.cancel(unfinished.id)  # and look again: others may have come meanwhile
        login = Login(self._around.new_id(), plan)
        self._logins[login.id] = login
        self._drop_oldest()
        self._grants.expect(name, login.id)
        login.task = asyncio.create_task(self._carry(login))
        return {"id": login.id, "name": name, "resumed": False}

    async def events(self, id: str) -> AsyncIterator[wire.LoginEvent]:  # noqa: A002 - the API's word
        """All events of a login, from the first one on, until it has ended."""
        login, seen = self._find(id), 0
        while True:
            happened = login.happened
            for event in login.events[seen:]:
                seen += 1
                yield event
            if login.is_over() and seen == len(login.events):
                return
            await happened.wait()

    def answer(self, id: str, question: str, answer: Secret) -> None:  # noqa: A002 - the API's word
        """Answer a question that the login has asked. Raises BadRequest where it asked none
        such."""
        login = self._find(id)
        waiting = login.questions.pop(question, None)
        if waiting is None or waiting.done() or login.is_over():
            raise BadRequest("this login has not asked that question", reason="no_such_question")
        waiting.set_result(answer)

    async def cancel(self, id: str) -> None:  # noqa: A002 - the API's word
        """End a login. What it obtained by then is not kept, unless it is being written already:
        then it is kept whole."""
        login = self._find(id)
        if login.task is not None and not login.task.done():
            login.task.cancel()
            await asyncio.wait([login.task])
        if not login.is_over():  # cancelled before its first step: nothing of it has ever run
            self._end(login, _cancelled())

    async def close(self) -> None:
        """End all logins: the daemon stops."""
        for login in list(self._logins.values()):
            await self.cancel(login.id)

    def _find(self, id: str) -> Login:  # noqa: A002 - the API's word
        login = self._logins.get(id)
        if login is None:
            raise UnknownCredential("there is no such login", remedy="credd-ctl status")
        return login

    def _unfinished(self, name: str) -> Login | None:
        mine = (one for one in self._logins.values() if one.plan.credential.name == name)
        return next((login for login in mine if not login.is_over()), None)

    def _drop_oldest(self) -> None:
        over = [login.id for login in self._logins.values() if login.is_over()]
        for old in over[: max(0, len(over) - FINISHED_KEPT)]:
            del self._logins[old]

    async def _carry(self, login: Login) -> None:
        name = login.plan.credential.name
        problem: CreddError | None = None
        try:
            async with asyncio.timeout(login.plan.timeout):
                await self._win(login)
        except asyncio.CancelledError:
            problem = _cancelled()
        except Exception as error:  # noqa: BLE001 - whatever broke, the watcher must hear the end
            problem = _explain(name, error)
        self._end(login, problem)

    def _end(self, login: Login, problem: CreddError | None) -> None:
        name = login.plan.credential.name
        self._grants.expect_no_more(name)
        if problem is None:
            login.tell({"type": "done", "credential": self._broker.describe(name)})
        else:
            login.tell({"type": "failed", "problem": to_problem(problem)})

    async def _win(self, login: Login) -> None:
        plan = login.plan
        talk = LoginTalk(login, self._around.talk(plan.credential.ca_file))
        await self._open_vault(plan.vault_key, talk.ask)
        won = await plan.provider.login(talk, plan.flow)
        _check_usable(won, plan.credential, self._around.now())
        await see_through(
            self._grants.adopt(plan.credential, won, switch_account=plan.switch_account)
        )


def _is_same(one: Plan, other: Plan) -> bool:
    alike = one.credential.identity() == other.credential.identity()
    return alike and one.flow == other.flow and one.switch_account == other.switch_account


def _cancelled() -> CreddError:
    return Denied("the login was cancelled", reason="cancelled")


def _check_usable(won: Authorization, credential: Credential, now: Instant) -> None:
    """Raise where the login brought no access token that can be served."""
    defect = defect_of(won.renewal, credential.access_lifetime, now)
    if defect:
        raise Misconfigured(
            f"the login brought no usable token: {detail_of(defect)}",
            reason=defect,
            remedy=f"credd-ctl status {credential.name}",
        )


def _explain(name: str, error: Exception) -> CreddError:
    """What a failed login tells the person: what happened, and the command to try next."""
    again = f"credd-ctl login {name}"
    if isinstance(error, CreddError):
        return error
    if isinstance(error, TimeoutError):
        return LoginRequired("nobody finished the login in time", reason="time_out", remedy=again)
    if isinstance(error, NotKept):
        said = detail_of(error.reason)
        return Misconfigured(said, reason=error.reason, remedy=again)
    if not isinstance(error, (NeverSent, ReplyLost, Failed)):
        log.error("a login of %s broke: %s", name, type(error).__name__)
        return CreddError(f"the login of {name} broke inside credd", remedy=again)
    failure = judge_exception(error)
    kinds = {Kind.REFUSED: LoginRequired, Kind.MISCONFIGURED: Misconfigured}
    kind = kinds.get(failure.kind, UpstreamUnavailable)
    if failure.kind is Kind.CALLER:
        kind = Misconfigured
    return kind(detail_of(failure.reason), reason=failure.reason, remedy=again)


@contextlib.asynccontextmanager
async def closing(logins: Logins) -> AsyncIterator[Logins]:
    """The logins of one daemon, ended when it stops."""
    try:
        yield logins
    finally:
        await logins.close()
