"""Consent to each use: one prompt for all who ask at once, and no is the default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from credd.broker.consent import NAMED_AT_MOST, Consent, requester_of
from credd.core.deeds import Asker
from credd.errors import Denied
from tests.fakes.virtual_time import virtual


class Person:
    """Answers prompts after a while, and remembers what they named."""

    def __init__(self, says: bool = True, after: float = 5.0) -> None:
        self.says = says
        self.after = after
        self.prompts: list[tuple[str, tuple[str, ...]]] = []
        self.on_prompt: Callable[[], None] = lambda: None

    async def prompt(self, name: str, requesters: tuple[str, ...]) -> bool:
        self.prompts.append((name, requesters))
        self.on_prompt()
        await asyncio.sleep(self.after)
        return self.says


@virtual
async def test_t13_fifty_requests_at_once_make_one_prompt_that_names_them() -> None:
    """The workers of a job; who asks more often is named once, with the number."""
    person = Person()
    consent = Consent(person.prompt)
    who = [f"train.py {number}" for number in range(5)] * 10
    await asyncio.gather(*(consent.ask("lab", one) for one in who))
    assert person.prompts == [("lab", tuple(f"train.py {n}, 10 times" for n in range(5)))]


@virtual
async def test_t13_nobody_rides_on_a_yes_that_was_given_to_others() -> None:
    """Whoever comes while a prompt is open is asked about in the next one."""
    person = Person()
    consent = Consent(person.prompt)
    first = asyncio.create_task(consent.ask("lab", "first"))
    await asyncio.sleep(1)
    later = [asyncio.create_task(consent.ask("lab", f"later {n}")) for n in range(2)]
    await first
    assert not any(task.done() for task in later)
    await asyncio.gather(*later)
    assert person.prompts == [("lab", ("first",)), ("lab", ("later 0", "later 1"))]


@virtual
async def test_t13_a_yes_is_for_one_use() -> None:
    """The next fetch asks again."""
    person = Person()
    consent = Consent(person.prompt)
    for _ in range(3):
        await consent.ask("lab", "train.py")
    assert len(person.prompts) == 3


@virtual
async def test_t13_a_no_is_for_all_who_were_named() -> None:
    """Denied, with a word for programs."""
    consent = Consent(Person(says=False).prompt)
    results = await asyncio.gather(
        *(consent.ask("lab", f"{n}") for n in range(3)), return_exceptions=True
    )
    assert [getattr(one, "reason", "") for one in results] == ["not_confirmed"] * 3


@virtual
async def test_t13_a_prompt_that_breaks_is_a_no() -> None:
    """Whatever is wrong with it; and the next one is asked anew."""

    async def broken(name: str, requesters: tuple[str, ...]) -> bool:
        raise OSError("no")

    consent = Consent(broken)
    for _ in range(2):
        with pytest.raises(Denied):
            await consent.ask("lab", "train.py")


@virtual
async def test_two_credentials_are_asked_about_one_after_the_other() -> None:
    """A person sees one prompt at a time."""
    person = Person()
    consent = Consent(person.prompt)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(consent.ask("lab", "a"), consent.ask("mlflow", "b"))
    assert sorted(name for name, _ in person.prompts) == ["lab", "mlflow"]
    assert loop.time() - start >= 2 * person.after


@virtual
async def test_who_has_left_is_not_asked_about() -> None:
    """Gone before the prompt: not named; all gone: no prompt at all."""
    person = Person()
    consent = Consent(person.prompt)
    tasks = [asyncio.create_task(consent.ask("lab", f"{n}")) for n in range(2)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    await tasks[1]
    assert person.prompts == [("lab", ("1",))]
    alone = asyncio.create_task(consent.ask("lab", "alone"))
    await asyncio.sleep(0.01)
    alone.cancel()
    await asyncio.sleep(10)
    assert len(person.prompts) == 1


@virtual
async def test_a_crowd_is_counted() -> None:
    """No environment grows without end."""
    person = Person()
    consent = Consent(person.prompt)
    await asyncio.gather(*(consent.ask("lab", f"{n}") for n in range(NAMED_AT_MOST + 7)))
    assert person.prompts[0][1][-1] == "and 7 more"


def test_t34_a_requester_is_one_harmless_line() -> None:
    """A path may hold anything; what the process says of itself stands in quotes."""
    asker = Asker(1000, 7, "/tmp/a\nb\x1b[31m" + "x" * 5000, "", "train.py", "job-17")
    line = requester_of(asker)
    assert line.isprintable()
    assert len(line) <= 200
    told = requester_of(Asker(1000, 7, "/usr/bin/python3", "", "train.py", "job-17"))
    assert told == ('/usr/bin/python3 "train.py" (pid 7, uid 1000, through the job socket job-17)')
    assert requester_of(Asker(1000, 7)).startswith("an unknown program")
