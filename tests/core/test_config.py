"""config.toml: what it means, and how each mistake in it is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credd.core.config import BadConfig, Config, Credential, Finding, check_credential, parse_config
from credd.core.provider_table import Catalog, Row, Setting
from credd.providers.catalog import load_catalog
from credd.providers.static import StaticProvider

CATALOG = load_catalog([]).catalog

LAB = """
[credentials.lab]
provider = "oidc"
issuer = "https://login.example.org/realms/lab"
client_id = "training"
"""

KEYS = (
    "access_lifetime, assertion_audience, audience, audience_parameter, ca_file, client_id, "
    "client_key_id, confirm, hosts, issuer, login_lifetime, max_age, provider, redirect_uri, "
    "scopes, subject_token_file, subject_token_type, token_endpoint_auth_method"
)
"""What a credential of the provider oidc may say."""

NOT_LOOPBACK = "must be http on 127.0.0.1, [::1] or localhost"


def findings(text: str, catalog: Catalog = CATALOG) -> list[str]:
    """What is wrong with this text, a line each."""
    with pytest.raises(BadConfig) as caught:
        parse_config(text, catalog)
    return [str(finding) for finding in caught.value.findings]


def lab(text: str = "") -> Credential:
    """The credential `lab`, with these lines added."""
    return parse_config(LAB + text, CATALOG).credentials["lab"]


def test_an_empty_text_is_an_empty_configuration() -> None:
    """A machine without config.toml has the defaults and no credential."""
    assert parse_config("", CATALOG) == Config.empty()
    assert Config.empty().daemon.in_flight_per_issuer == 8
    assert Config.empty().vault.key == "auto"


def test_a_whole_configuration_is_read() -> None:
    """Daemon, vault, settings and policy each arrive where they belong."""
    config = parse_config(
        '[daemon]\nlog_level = "debug"\nin_flight_per_issuer = 2\n[vault]\nkey = "file"\n' + LAB
        + 'scopes = ["openid", "offline_access"]\nhosts = ["MLflow.example.org", "*.lab.example"]\n'
        'login_lifetime = "30d"\naccess_lifetime = 600\nmax_age = "12h"\nconfirm = true\n',
        CATALOG,
    )  # fmt: skip
    credential = config.credentials["lab"]
    assert (config.daemon.log_level, config.daemon.in_flight_per_issuer) == ("debug", 2)
    assert config.vault.key == "file"
    assert credential.settings == {
        "issuer": "https://login.example.org/realms/lab",
        "client_id": "training",
        "scopes": ["openid", "offline_access"],
    }
    assert credential.hosts == ("mlflow.example.org", "*.lab.example")
    assert (credential.login_lifetime, credential.access_lifetime) == (2592000.0, 600.0)
    assert (credential.max_age, credential.confirm) == (43200.0, True)


def test_hooks_are_commands_word_by_word() -> None:
    """Lists of words, and whether to use the desktop; nothing is run where nothing is written."""
    config = parse_config(
        '[hooks]\non_login_required = ["notify-me", "--urgent"]\n'
        'on_error = ["/opt/lab tools/alarm"]\ndesktop = true\n', CATALOG,
    )  # fmt: skip
    assert config.hooks.on_login_required == ["notify-me", "--urgent"]
    assert config.hooks.on_error == ["/opt/lab tools/alarm"]
    assert config.hooks.desktop
    assert Config.empty().hooks.on_login_required == ()
    assert not Config.empty().hooks.desktop


def test_policy_and_defaults_are_no_part_of_the_identity() -> None:
    """Changing where tokens go asks for no new login, and neither does a later version of credd."""
    assert lab().identity() == lab('hosts = ["a.example"]\nlogin_lifetime = "1d"\n').identity()
    assert lab().identity() != lab('scopes = ["openid"]\n').identity()
    assert lab().settings.keys() == {"issuer", "client_id"}


def test_a_credential_goes_nowhere_until_hosts_says_so() -> None:
    """The issuer's own host is no default: it issues tokens, it is not sent them."""
    assert lab().hosts == ()


def test_an_unknown_key_names_its_place_and_the_nearest_known_one() -> None:
    """Line, dotted key, and what was probably meant."""
    text = LAB.replace("issuer", "isuer")
    assert findings(text) == [
        'line 2, credentials.lab: missing key "issuer"',
        'line 4, credentials.lab.isuer: unknown key; did you mean "issuer"?',
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[deamon]\n", 'line 1, deamon: unknown section; did you mean "daemon"?'),
        (
            "[hooks]\non_error = 'mail me'",
            'line 2, hooks.on_error: must be a list of texts, such as ["a", "b"]',
        ),
        ("[hooks]\non_error = []", "line 2, hooks.on_error: needs a program as its first word"),
        (
            "[hooks]\non_error = ['mail me']",
            "line 2, hooks.on_error: is no shell line: write each word as a text of its own",
        ),
        (
            "[hooks]\non_error = ['bin/mail']",
            "line 2, hooks.on_error: needs a whole path, beginning with /, or a program's name",
        ),
        ("[hooks]\ndesktop = 'yes'", "line 2, hooks.desktop: must be true or false"),
        (
            "[sockets]\n",
            (
                "line 1, sockets: unknown section; known are: credentials, daemon, hooks, "
                "network, vault"
            ),
        ),
        ("daemon = 3", "line 1, daemon: must be a table"),
        ("credentials = 3", "line 1, credentials: must be a table"),
        ("[credentials]\nlab = 3", "line 2, credentials.lab: must be a table"),
        ("[[credentials]]\n", "line 1, credentials: must be a table"),
        (
            "[daemon]\nlog-level = 'info'",
            'line 2, daemon.log-level: unknown key; did you mean "log_level"?',
        ),
        (
            "[daemon]\nlog_level = 'inf'",
            (
                'line 2, daemon.log_level: must be one of "debug", "info", "warning", "error"; '
                'did you mean "info"?'
            ),
        ),
        (
            "[daemon]\nlog_level = 3",
            'line 2, daemon.log_level: must be one of "debug", "info", "warning", "error"',
        ),
        (
            "[daemon]\nin_flight_per_issuer = '8'",
            "line 2, daemon.in_flight_per_issuer: must be a whole number",
        ),
        (
            "[daemon]\nin_flight_per_issuer = true",
            "line 2, daemon.in_flight_per_issuer: must be a whole number",
        ),
        (
            "[daemon]\nin_flight_per_issuer = 0",
            "line 2, daemon.in_flight_per_issuer: must be from 1 to 64",
        ),
        (
            "[vault]\nkey = 'pasphrase'",
            (
                'line 2, vault.key: must be one of "auto", "keyring", "systemd", "passphrase", '
                '"file"; did you mean "passphrase"?'
            ),
        ),
        (
            "[credentials.lab]\nprovider = 'oidcc'",
            'line 2, credentials.lab.provider: unknown provider; did you mean "oidc"?',
        ),
        (
            "[credentials.lab]\nprovider = 'mlflow'",
            "line 2, credentials.lab.provider: unknown provider; known are: oidc, static",
        ),
        ("[credentials.lab]\n", 'line 1, credentials.lab: missing key "provider"'),
        (
            "[credentials.lab]\nprovider = 5",
            "line 2, credentials.lab.provider: must be text in quotes",
        ),
        ("a = \n", "line 1: no valid TOML: Invalid value"),
        ("\n\na = 1\na = 2", "line 4: no valid TOML: Cannot overwrite a value"),
    ],
)
def test_a_mistake_is_told_in_one_line(text: str, told: str) -> None:
    """Whatever is wrong, a person reads where and what, and what to write instead."""
    assert findings(text) == [told]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("scopes = 'openid'", 'scopes: must be a list of texts, such as ["a", "b"]'),
        ("scopes = ['openid', 3]", 'scopes: must be a list of texts, such as ["a", "b"]'),
        ("scopes = ['openid profile']", "scopes: each scope must be one word of plain characters"),
        ("hosts = 'a.example'", 'hosts: must be a list of texts, such as ["a", "b"]'),
        ("hosts = ['']", "hosts: a host is empty"),
        ("hosts = ['*']", "hosts: a * stands only at the beginning, as in *.example.org"),
        (
            "hosts = ['https://a.example']",
            "hosts: a host is a name alone: no scheme, no path, no user",
        ),
        ("hosts = ['a.example/api']", "hosts: a host is a name alone: no scheme, no path, no user"),
        (
            "login_lifetime = 'soon'",
            "login_lifetime: must be a duration such as 30d, 12h, 90m, or seconds",
        ),
        (
            "login_lifetime = -1",
            "login_lifetime: must be a duration such as 30d, 12h, 90m, or seconds",
        ),
        (
            "access_lifetime = nan",
            "access_lifetime: must be a duration such as 30d, 12h, 90m, or seconds",
        ),
        ("access_lifetime = true", "access_lifetime: must be a number, or text in quotes"),
        ("tenant = 'x'", f"tenant: unknown key; known are: {KEYS}"),
        ("redirect_uri = 'https://127.0.0.1/'", f"redirect_uri: {NOT_LOOPBACK}"),
        ("redirect_uri = 'http://127.0.0.2/'", f"redirect_uri: {NOT_LOOPBACK}"),
        ("redirect_uri = 'http://0.0.0.0:80/'", f"redirect_uri: {NOT_LOOPBACK}"),
        ("redirect_uri = 'http://a.example/'", f"redirect_uri: {NOT_LOOPBACK}"),
        ("redirect_uri = 'http://localhost/?a=b'", "redirect_uri: must have no ? and no #"),
        (
            "subject_token_file = 'token'",
            "subject_token_file: must be an absolute path",
        ),
        (
            "audience_paramter = 'audience'",
            'audience_paramter: unknown key; did you mean "audience_parameter"?',
        ),
        (
            "token_endpoint_auth_method = 'basic'",
            (
                'token_endpoint_auth_method: must be one of "none", "client_secret_basic", '
                '"client_secret_post", "private_key_jwt"'
            ),
        ),
        (
            '"sc\\u001b[31m" = 1',
            f'"sc\\u001b[31m": unknown key; known are: {KEYS}',
        ),
    ],
)
def test_a_mistake_in_a_credential_is_told_in_one_line(line: str, told: str) -> None:
    """Settings and policy are held to their types and their meaning."""
    assert findings(LAB + line) == [f"line 6, credentials.lab.{told}"]


@pytest.mark.parametrize(
    ("issuer", "told"),
    [
        (
            "http://login.example.org",
            "must be https (plain http is for this machine's own loopback address alone)",
        ),
        ("ftp://login.example.org", "must be an https address in plain characters"),
        ("login.example.org", "must be an https address in plain characters"),
        ("https://", "must be an https address in plain characters"),
        ("https://user:pw@login.example.org", "must not hold a user name or password"),
        ("https://login.example.org/?a=b", "must have no ? and no #"),
        ("https://login.example.org/#a", "must have no ? and no #"),
        ("https://login.example.org/$(x)", "must be an https address in plain characters"),
        ("https://login.example.org:99999/", "must name a host"),
    ],
)
def test_an_issuer_is_an_https_address(issuer: str, told: str) -> None:
    """A refresh token is never posted in the clear; loopback is for tests and demos."""
    text = LAB.replace("https://login.example.org/realms/lab", issuer)
    assert findings(text) == [f"line 4, credentials.lab.issuer: {told}"]


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("client_secret", "credd-ctl login lab --client-secret-stdin"),
        ("client-secret", "credd-ctl login lab --client-secret-stdin"),
        ("password", "credd-ctl login lab --client-secret-stdin"),
        ("token", "credd-ctl login lab --key-stdin"),
        ("api_key", "credd-ctl login lab --key-stdin"),
        ("refresh_token", "credd-ctl login lab"),
    ],
)
def test_a_secret_in_the_file_is_refused_with_the_option_that_takes_it(
    key: str, remedy: str
) -> None:
    """config.toml is copied, shown and committed; what is secret is typed into a login."""
    with pytest.raises(BadConfig) as caught:
        parse_config(LAB + f'{key} = "pw-CANARY-1"\n', CATALOG)
    (finding,) = caught.value.findings
    assert str(finding) == (
        f"line 6, credentials.lab.{key}: secrets are never in config.toml; remove this line"
    )
    assert finding.remedy == remedy


def test_a_value_is_never_repeated() -> None:
    """Whatever key it stands under, a finding names the key and not what was written."""
    secret = "pw-CANARY-typed-in-the-wrong-place"
    lines = [f'{key} = "{secret}"' for key in ("isuer", "scopes", "hosts", "token", "audience ")]
    text = f'[daemon]\nlog_level = "{secret}"\n[x]\ny = "{secret}"\n{LAB}' + "\n".join(lines)
    with pytest.raises(BadConfig) as caught:
        parse_config(text.replace("audience ", "login_lifetime"), CATALOG)
    assert len(caught.value.findings) >= 6
    assert "CANARY" not in str(caught.value) + json.dumps(
        [finding.to_wire() for finding in caught.value.findings]
    )


def test_all_mistakes_are_told_at_once_by_their_lines() -> None:
    """One look at the answer mends the whole file."""
    told = findings(
        '[credentials.B]\nprovider = "static"\nhost = ["a"]\n[daemon]\nlevel = 1\n'
        '[credentials.c]\nprovider = "oidc"\n[vault]\nkey = "none"\n'
    )
    assert [line.partition(": ")[0] for line in told] == [
        "line 1, credentials.B", "line 3, credentials.B.host", "line 5, daemon.level",
        "line 6, credentials.c", "line 6, credentials.c", "line 9, vault.key",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["Lab", "lab space", "-lab", "", "a" * 65, "läb", "lab/x", "../lab", "lab\x1b[31m"]
)
def test_a_bad_name_is_refused_and_shown_harmlessly(name: str) -> None:
    """A name stands in paths, remedies and shell lines; a strange one is shown escaped."""
    with pytest.raises(BadConfig) as caught:
        check_credential(name, "static", {}, CATALOG)
    (finding,) = caught.value.findings
    assert finding.message.startswith("bad name")
    assert str(finding).isascii()
    assert str(finding).isprintable()


def test_a_login_is_checked_like_the_file() -> None:
    """A credential that is not in the file yet gets the same words, without a line."""
    given_ = {"isuer": "https://a.example", "client_id": "x", "hosts": ["*"], "client_secret": "x"}
    with pytest.raises(BadConfig) as caught:
        check_credential("lab", "oidc", given_, CATALOG)
    assert [str(finding) for finding in caught.value.findings] == [
        'credentials.lab: missing key "issuer"',
        "credentials.lab.client_secret: secrets are never in config.toml; remove this line",
        "credentials.lab.hosts: a * stands only at the beginning, as in *.example.org",
        'credentials.lab.isuer: unknown key; did you mean "issuer"?',
    ]


def test_a_login_that_is_right_makes_the_credential_that_the_file_will_make() -> None:
    """The login's grant is sealed under the identity that the file has afterwards."""
    wanted = {"issuer": "https://login.example.org/realms/lab", "client_id": "training"}
    assert check_credential("lab", "oidc", {**wanted, "hosts": ["a.example"]}, CATALOG) == lab(
        'hosts = ["a.example"]'
    )


def test_a_date_of_the_file_and_of_a_login_are_the_same() -> None:
    """TOML has dates, the socket has text; both are one identity, and it can be sealed."""
    text = '[credentials.k]\nprovider = "static"\nexpires_at = 2026-12-31\n'
    from_file = parse_config(text, CATALOG).credentials["k"]
    asked = check_credential("k", "static", {"expires_at": "2026-12-31"}, CATALOG)
    assert from_file == asked
    assert from_file.identity() == asked.identity()


def test_lines_are_right_whatever_the_text_looks_like() -> None:
    """Strings over several lines, arrays, inline tables, dotted and quoted keys, CRLF."""
    text = (
        "# a comment = [\n"
        'credentials.a = {provider = "static", nonsense = 1}\n'
        '[credentials."b"]\n'
        'provider = "oidc"\n'
        "scopes = [\n  # [x]\n  'openid',\n]\n"
        'issuer = """\\\n   https://a.example\\\n   """\n'
        "client_id = 'c'\r\n"
        "oops.deep = 1\n"
        "[credentials.c] # [daemon]\n"
        "oops = '''\n[daemon]\n'''\n"
        "more = 1"
    )
    assert [line.partition(":")[0] for line in findings(text)] == [
        "line 2, credentials.a.nonsense",
        "line 13, credentials.b.oops",
        "line 14, credentials.c",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "9" * 5000,
        "[credentials.x]\nprovider = 'static'\nexpires_at = " + "9" * 400,
        "x" * (1024 * 1024 + 1),
        "\x00",
        "a = 2026-13-45",
        "[a]\n" * 2,
        "bad = '''" + "\n" * 5000 + "'''\nworse = 1",
    ],
    ids=["deep", "digits", "big", "long", "nul", "date", "twice", "lines"],
)
def test_a_monstrous_text_is_a_finding(text: str) -> None:
    """Nothing in the file can stop the daemon that has to say what is wrong with it."""
    assert findings(text)


def broken_row() -> Row:
    """A third party's row whose functions all fail."""

    def fail(_: object) -> str:
        raise RuntimeError("pw-CANARY-2")

    setting = Setting("x", int, "anything", check=fail)
    return Row("broken", "", (setting,), ("key",), StaticProvider, default_hosts=fail)  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["x = 1", ""])
def test_a_broken_provider_is_a_finding(line: str) -> None:
    """A third party's defect costs its own credential, and names no value."""
    text = f'[credentials.t]\nprovider = "broken"\n{line}'
    (told,) = findings(text, {**CATALOG, "broken": broken_row()})
    assert told.endswith("(RuntimeError)")


def test_a_finding_has_the_wire_shape() -> None:
    """What reload and --check answer: place, message, remedy."""
    finding = Finding("line 1, x", "unknown section", "remove it", 1)
    assert finding.to_wire() == {
        "place": "line 1, x", "message": "unknown section", "remedy": "remove it"
    }  # fmt: skip


@given(st.text(alphabet="[]a=\"'\n{}#.,1é\\ ", max_size=40))
@settings(max_examples=300, deadline=None)  # the machine may be busy
def test_no_text_makes_anything_but_a_configuration_or_findings(text: str) -> None:
    """Whatever is in the file, it is read or refused; nothing else ever comes out."""
    try:
        config = parse_config(text, CATALOG)
    except BadConfig:
        return
    assert config.credentials == {}
