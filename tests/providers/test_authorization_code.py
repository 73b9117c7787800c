"""The authorization code with PKCE: which returning browser brings the answer, which does not."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core.failures import Failed, Kind
from credd.core.model import Secret
from credd.providers.authorization_code import (
    LONGEST_ANSWER,
    Attempt,
    Expected,
    Request,
    exchange_form,
    read_code,
)
from tests.fakes.conversation import BACK, ScriptedConversation

ROOT = Path(__file__).parents[2]
ISSUER = "https://login.example.org"
STATE = "state-of-this-login-and-no-other-0123456789"
EXPECTED = Expected(Secret(STATE), ISSUER)
STRICT = Expected(Secret(STATE), ISSUER, must_name_issuer=True)
RIGHT = {"code": "c1", "state": STATE, "iss": ISSUER}


def query(fields: Mapping[str, str | None]) -> str:
    return urlencode({key: value for key, value in fields.items() if value is not None})


# --- what is asked --------------------------------------------------------------------------


def asked(scope: str = "openid offline_access", endpoint: str = f"{ISSUER}/auth") -> dict[str, str]:
    """The query of the address that a browser is sent to."""
    attempt = Attempt.begin(ScriptedConversation())
    address = Request(endpoint, "training", BACK, scope).address(attempt, {"resource": "urn:a b"})
    parsed = parse_qs(urlsplit(address).query, strict_parsing=True)
    assert all(len(values) == 1 for values in parsed.values())
    return {name: values[0] for name, values in parsed.items()}


def test_a_browser_is_sent_with_everything_that_binds_the_answer() -> None:
    """PKCE by S256, a state, a nonce, and consent where the login shall last."""
    form = asked()
    assert {name: form[name] for name in form if name not in ("state", "nonce")} == {
        "response_type": "code", "client_id": "training", "redirect_uri": BACK,
        "scope": "openid offline_access", "code_challenge": form["code_challenge"],
        "code_challenge_method": "S256", "prompt": "consent", "resource": "urn:a b",
    }  # fmt: skip
    assert len({form["state"], form["nonce"], form["code_challenge"]}) == 3
    assert all(len(form[name]) == 43 for name in ("state", "nonce", "code_challenge"))


def test_nothing_is_asked_that_does_not_apply() -> None:
    """No nonce without an id token, no consent again for a login that ends by itself."""
    assert not {"nonce", "prompt"} & asked("runs:read").keys()
    assert "prompt" not in asked("openid")


def test_an_endpoint_with_a_query_of_its_own_keeps_it() -> None:
    """RFC 6749 3.1."""
    assert asked(endpoint=f"{ISSUER}/auth?tenant=a")["tenant"] == "a"


def test_no_two_logins_share_a_secret() -> None:
    """State, nonce and verifier are new each time."""
    talk = ScriptedConversation()
    attempts = [Attempt.begin(talk) for _ in range(5)]
    secrets = {one for a in attempts for one in (a.verifier, a.state, a.nonce)}
    assert len(secrets) == 15


def test_t43_the_verifier_is_hashed_before_it_is_shown() -> None:
    """RFC 7636, appendix B: the challenge is all that the browser carries."""
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    attempt = Attempt(verifier, Secret("s"), Secret("n"))
    assert attempt.challenge() == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert verifier.reveal() not in repr(attempt)
    assert exchange_form(Secret("c"), BACK, attempt)["code_verifier"] == verifier


def test_the_challenge_is_the_hash_of_what_is_posted() -> None:
    """For a verifier of our own making, too."""
    attempt = Attempt.begin(ScriptedConversation())
    digest = hashlib.sha256(attempt.verifier.reveal().encode()).digest()
    assert attempt.challenge() == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# --- which answer is ours -------------------------------------------------------------------


@pytest.mark.parametrize("expected", [EXPECTED, STRICT], ids=["iss optional", "iss advertised"])
@pytest.mark.parametrize(
    "answer",
    [
        RIGHT, {**RIGHT, "session_state": "x", "scope": "openid"},
        {"error": "access_denied", "state": STATE, "iss": ISSUER},
        {"error": "made_up", "error_description": "<script>", "state": STATE, "iss": ISSUER},
    ],
)  # fmt: skip
def test_the_rightful_answer_is_known(expected: Expected, answer: Mapping[str, str]) -> None:
    """A code or an error with our state, from our issuer; unknown fields are passed over."""
    assert expected.is_ours(query(answer))


@pytest.mark.parametrize("expected", [EXPECTED, STRICT], ids=["iss optional", "iss advertised"])
@pytest.mark.parametrize(
    "answer",
    [
        {**RIGHT, "state": None}, {**RIGHT, "state": ""}, {**RIGHT, "state": "x"},
        {**RIGHT, "state": STATE[:-1]}, {**RIGHT, "state": STATE + "x"},
        {**RIGHT, "state": STATE.upper()}, {**RIGHT, "state": f" {STATE}"},
        {**RIGHT, "state": "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")},
        {**RIGHT, "iss": ""}, {**RIGHT, "iss": ISSUER + "/"}, {**RIGHT, "iss": "https://evil.example"},
        {**RIGHT, "error": "access_denied"}, {**RIGHT, "code": None}, {},
        {"error": "access_denied", "error_description": "<script>alert(1)</script>"},
        {"error": "access_denied", "state": "x", "iss": ISSUER},
        {"error": "access_denied", "state": STATE, "iss": "https://evil.example"},
    ],
)  # fmt: skip
def test_t40_every_other_answer_is_refused(
    expected: Expected, answer: Mapping[str, str | None]
) -> None:
    """State absent, empty, wrong, of another length; another issuer; code and error at once."""
    assert not expected.is_ours(query(answer))


def test_t43_an_issuer_that_advertises_iss_must_send_it() -> None:
    """RFC 9207 2.4: absent is as bad as wrong; elsewhere absent is usual."""
    silent = query({**RIGHT, "iss": None})
    assert not STRICT.is_ours(silent)
    assert EXPECTED.is_ours(silent)


def test_t40_a_state_of_another_login_is_refused() -> None:
    """Two logins at once, at one issuer: an answer finishes its own."""
    talk = ScriptedConversation()
    one, other = (Expected(Attempt.begin(talk).state, ISSUER) for _ in range(2))
    answer = query({**RIGHT, "state": one.state.reveal()})
    assert one.is_ours(answer)
    assert not other.is_ours(answer)


def test_t40_an_empty_expectation_matches_nothing() -> None:
    """Nobody's answer is anybody's."""
    nobody = Expected(Secret(""), ISSUER)
    assert not nobody.is_ours("code=c1&state=")
    assert not nobody.is_ours("code=c1")


UNDER_O = """
from credd.core.model import Secret
from credd.providers.authorization_code import Expected
assert False, "this line must not run"
expected = Expected(Secret("right"), "https://a.example", must_name_issuer=True)
for query in ("code=c&iss=https://a.example", "code=c&state=wrong&iss=https://a.example",
              "code=c&state=&iss=https://a.example", "code=c&state=right"):
    if expected.is_ours(query):
        raise SystemExit(query)
if not expected.is_ours("code=c&state=right&iss=https://a.example"):
    raise SystemExit("the rightful one")
"""


def test_t40_the_checks_are_no_asserts() -> None:
    """`python -O` removes every assert, and none of these."""
    argv = [sys.executable, "-O", "-c", UNDER_O]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        query(RIGHT) + f"&state={STATE}", query(RIGHT) + "&code=c2", "code=c0&" + query(RIGHT),
        query(RIGHT) + f"&iss={ISSUER}", query(RIGHT) + "&x=1" * 60,
        query(RIGHT) + "&x=" + "y" * LONGEST_ANSWER, query(RIGHT).replace("&", ";"),
    ],
)  # fmt: skip
def test_an_answer_that_says_something_twice_or_too_much_is_refused(text: str) -> None:
    """RFC 6749 3.1: whoever chooses between two values chooses for an attacker."""
    assert not EXPECTED.is_ours(text)


@given(st.text(max_size=400) | st.binary(max_size=400).map(lambda raw: raw.decode("latin-1")))
def test_t37_any_text_is_judged_without_an_exception(text: str) -> None:
    """And none of it is ours."""
    assert not STRICT.is_ours(text)
    for name, value in parse_qsl(text):
        assert not STRICT.is_ours(query({**RIGHT, "state": value, name: value, "iss": ISSUER}))


# --- what it says ---------------------------------------------------------------------------


def test_a_code_is_a_secret_from_the_first_moment() -> None:
    """Whoever has it and the verifier has the login."""
    assert read_code(query({**RIGHT, "code": "SplxlOBeZQQYbYS6WxSbIA"})) == Secret(
        "SplxlOBeZQQYbYS6WxSbIA"
    )


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        ("access_denied", Kind.REFUSED, "access_denied"),
        ("login_required", Kind.REFUSED, "login_required"),
        ("consent_required", Kind.REFUSED, "consent_required"),
        ("invalid_scope", Kind.MISCONFIGURED, "invalid_scope"),
        ("invalid_target", Kind.MISCONFIGURED, "invalid_target"),
        ("unauthorized_client", Kind.MISCONFIGURED, "unauthorized_client"),
        ("unsupported_response_type", Kind.MISCONFIGURED, "unsupported_grant_type"),
        ("temporarily_unavailable", Kind.TRANSIENT, "temporarily_unavailable"),
        ("server_error", Kind.TRANSIENT, "server_error"),
        ("<script>alert(1)</script>", Kind.MISCONFIGURED, "unknown_error_code"),
        ("", Kind.MISCONFIGURED, "unknown_error_code"),
    ],
)
def test_t42_an_error_is_told_in_our_own_words(error: str, kind: Kind, reason: str) -> None:
    """Its code where a standard names it; its description never."""
    answer = query({"error": error, "error_description": "<script>", "state": STATE})
    with pytest.raises(Failed) as caught:
        read_code(answer)
    assert (caught.value.failure.kind, caught.value.failure.reason) == (kind, reason)


@pytest.mark.parametrize("code", ["", " ", "a b", "a\r\nb", "ü", "x" * 70_000])
def test_a_code_that_no_form_could_carry_is_refused(code: str) -> None:
    """It is posted as it came, or not at all."""
    with pytest.raises(Failed, match="bad_authorization_reply"):
        read_code(query({**RIGHT, "code": code}))
