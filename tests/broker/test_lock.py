"""A lock that a person closes: nothing leaves, refreshing goes on, guessing is slow."""

from __future__ import annotations

import asyncio

import pytest

from credd.broker.lock import LONGEST_PAUSE, WAITING_AT_MOST, Guesses, Lock
from credd.core.model import Secret
from credd.errors import BadRequest, Locked
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual

RIGHT, WRONG = Secret("the right one"), Secret("a wrong one")


async def plain(passphrase: Secret, salt: bytes) -> bytes:
    """A hash that costs no time."""
    return salt + passphrase.reveal().encode()


def new_lock(guesses: Guesses | None = None) -> Lock:
    return Lock(plain, lambda: b"salt", guesses or Guesses())


async def locked_house() -> tuple[House, Lock]:
    house, lock = await started(), new_lock()
    house.shelf.why_shut = lock.problem
    await lock.lock(RIGHT)
    return house, lock


# --- what it keeps in -----------------------------------------------------------------------


@virtual
async def test_t14_nothing_is_handed_out_while_locked() -> None:
    """Fetch, rejection, refresh and logout are refused with Locked and the way out."""
    house, lock = await locked_house()
    asked = [
        lambda: house.broker.token("lab"),
        lambda: house.broker.reject("lab", 1),
        lambda: house.broker.refresh("lab"),
        lambda: house.broker.forget("lab"),
    ]
    for ask in asked:
        with pytest.raises(Locked) as refused:
            await ask()
        assert refused.value.remedy == "credd-ctl unlock"
    assert house.state() == "locked"
    assert house.broker.lifetime("lab", 60)["remedy"] == "credd-ctl unlock"
    await lock.unlock(RIGHT)
    assert await house.fetch() == "at-1"


@virtual
async def test_refreshing_goes_on_while_locked() -> None:
    """After an hour behind the lock the token is as fresh as ever."""
    house, lock = await locked_house()
    await asyncio.sleep(3600)
    assert len(house.issuer.requests) >= 15
    await lock.unlock(RIGHT)
    assert house.state() == "fresh"


@virtual
async def test_a_caller_who_waits_when_it_is_locked_gets_nothing() -> None:
    """The token that came meanwhile stays in."""
    house, lock = await started(latency=5.0), new_lock()
    house.shelf.why_shut = lock.problem
    house.refreshing.cancel()
    await asyncio.sleep(400)
    waiting = asyncio.create_task(house.fetch())
    await asyncio.sleep(1)
    await lock.lock(RIGHT)
    with pytest.raises(Locked):
        await waiting
    assert len(house.issuer.requests) == 1


# --- how it opens ---------------------------------------------------------------------------


@virtual
async def test_only_the_same_passphrase_opens_it() -> None:
    """A wrong one leaves it locked; locking twice is refused, with another passphrase or not."""
    lock = new_lock()
    await lock.lock(RIGHT)
    with pytest.raises(Locked, match="not the passphrase"):
        await lock.unlock(WRONG)
    with pytest.raises(Locked):
        await lock.lock(WRONG)
    assert lock.is_locked()
    await lock.unlock(RIGHT)
    assert not lock.is_locked()


@virtual
async def test_an_empty_passphrase_locks_nothing() -> None:
    """Whoever presses Enter must not believe that it is locked."""
    lock = new_lock()
    with pytest.raises(BadRequest):
        await lock.lock(Secret(""))
    assert not lock.is_locked()


@virtual
async def test_t14_wrong_guesses_are_answered_ever_more_slowly() -> None:
    """0.1 s more with each, up to 10 s; a right one ends that."""
    loop, guesses = asyncio.get_running_loop(), Guesses()
    lock = new_lock(guesses)
    await lock.lock(RIGHT)
    took = []
    for _ in range(120):
        start = loop.time()
        with pytest.raises(Locked):
            await lock.unlock(WRONG)
        took.append(round(loop.time() - start, 3))
    assert took[:3] == [0.1, 0.2, 0.3]
    assert took[99:] == [LONGEST_PAUSE] * 21
    start = loop.time()
    await lock.unlock(RIGHT)
    assert loop.time() == start
    assert guesses.fails == 0


@virtual
async def test_t14_neither_many_connections_nor_hanging_up_make_guessing_faster() -> None:
    """Guesses take turns, a few wait, the rest is sent away; who leaves has still used a turn."""
    loop, guesses = asyncio.get_running_loop(), Guesses()
    lock = new_lock(guesses)
    await lock.lock(RIGHT)
    guesses.fails = 99
    start = loop.time()
    crowd = [asyncio.create_task(lock.unlock(WRONG)) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert sum(task.done() for task in crowd) == 50 - 1 - WAITING_AT_MOST
    sent_away = crowd[-1].exception()
    assert isinstance(sent_away, Locked)
    assert sent_away.retry_after == pytest.approx(9.9)
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    while guesses._under_way:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert loop.time() - start >= (1 + WAITING_AT_MOST) * LONGEST_PAUSE
    assert guesses.fails == 100 + WAITING_AT_MOST


@virtual
async def test_t14_other_callers_wait_for_no_guesser() -> None:
    """While a wrong guess pays its 10 s, tokens are served at once."""
    loop, house, guesses = asyncio.get_running_loop(), await started(), Guesses()
    guesses.fails = 99

    async def wrong() -> None:
        raise Locked(reason="wrong_passphrase")

    guessing = asyncio.create_task(guesses.attempt(wrong))
    await asyncio.sleep(0.01)
    start = loop.time()
    assert await house.fetch() == "at-1"
    assert loop.time() == start
    assert not guessing.done()
    with pytest.raises(Locked):
        await guessing


@virtual
async def test_a_failure_that_was_no_guess_costs_nothing() -> None:
    """A vault whose key is away is nobody's fault."""
    loop, guesses = asyncio.get_running_loop(), Guesses()

    async def away() -> None:
        raise Locked(reason="keyring_locked")

    start = loop.time()
    with pytest.raises(Locked):
        await guesses.attempt(away)
    assert (loop.time(), guesses.fails) == (start, 0)


def test_a_lock_shows_no_passphrase() -> None:
    """Its repr tells its state alone."""
    assert repr(new_lock()) == "<Lock open>"
