"""An error is the same on both sides of the socket, and says what to do next."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from credd import errors
from credd.errors import BY_CODE, CreddError, UpstreamUnavailable, from_problem, to_problem

EVERY_KIND = list(BY_CODE.values())


def parts(error: CreddError) -> tuple[object, ...]:
    return (
        type(error),
        error.detail,
        error.remedy,
        error.reason,
        error.retry_after,
        error.retryable,
        str(error),
    )


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_an_error_comes_out_of_the_socket_as_it_went_in(kind: type[CreddError]) -> None:
    """Class, detail, remedy, reason and Retry-After survive the way through JSON."""
    error = kind("what happened", remedy="credd-ctl mend", reason="reply_lost", retry_after=1.5)
    assert parts(from_problem(json.loads(json.dumps(to_problem(error))))) == parts(error)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_bare_error_has_its_title_as_detail(kind: type[CreddError]) -> None:
    """There is always a sentence, and no empty field in the problem."""
    problem = to_problem(kind())
    assert problem["detail"] == problem["title"] == kind.title
    assert not {"reason", "retry_after"} & set(problem)
    assert parts(from_problem(problem)) == parts(kind())


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("carry", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_survives_a_copy_and_a_pickle(kind: type[CreddError], carry: object) -> None:
    """A pool of processes hands exceptions on by pickle."""
    error = kind("what happened", remedy="credd-ctl mend", reason="x", retry_after=2)
    assert parts(carry(error)) == parts(error)  # type: ignore[operator]


def test_a_problem_has_the_fields_of_rfc_9457() -> None:
    """`type` is a URI of ours, `status` the HTTP status, and the rest what clients act on."""
    error = UpstreamUnavailable("the issuer is away", remedy="credd-ctl status", retry_after=3)
    assert to_problem(error) == {
        "type": "urn:credd:problem:upstream_unavailable",
        "title": "the issuer can't be reached",
        "status": 503,
        "code": "upstream_unavailable",
        "detail": "the issuer is away",
        "remedy": "credd-ctl status",
        "retryable": True,
        "retry_after": 3,
    }


@pytest.mark.parametrize(
    "problem",
    [
        {},
        {"code": "from_the_future", "detail": "what happened"},
        {"code": None, "detail": None, "remedy": [], "retry_after": "soon"},
        {"code": ["denied"], "retry_after": {}},
    ],
)
def test_a_problem_nobody_knows_is_still_an_error(problem: dict[str, object]) -> None:
    """A newer daemon's problem, or a broken one, has to reach a person all the same."""
    error = from_problem(problem)
    assert type(error) is CreddError
    assert error.exit_code == 1
    assert error.retry_after is None


def test_codes_and_exit_statuses_are_one_to_one() -> None:
    """A script tells errors apart by exit status, a program by class or code."""
    assert sorted(kind.exit_code for kind in EVERY_KIND) == list(range(1, 11))
    own = {kind for kind in CreddError.__subclasses__() if kind.__module__ == "credd.errors"}
    assert set(EVERY_KIND) == {CreddError, *own}
    assert all(kind.code == code for code, kind in BY_CODE.items())


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The picture at the top of the file names every class and its exit status."""
    lines = (errors.__doc__ or "").splitlines()
    for kind in EVERY_KIND:
        assert any(f" {kind.__name__} " in line and f" {kind.exit_code} " in line for line in lines)
