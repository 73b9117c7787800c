"""The person with a browser who approves logins at npm oidc-provider.

Knows: forms, cookies and redirects, as a browser does; it reads each page for its form and posts
what the page asks for. Refuses to know: credd. The hard thing: no step is assumed; a page without
the expected form fails with the page's own words.
"""

from __future__ import annotations

import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from typing import Any

MAX_PAGES = 8
"""Code, confirmation, login, consent, done: five pages, and room for a page more or two."""


class _Stop(urllib.request.HTTPRedirectHandler):
    """Stops before one address: that of a listener on another machine than this browser's."""

    def __init__(self, before: str) -> None:
        self._before = before
        self.ended_at = ""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if newurl.startswith(self._before):
            self.ended_at = newurl
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Page(HTMLParser):
    """The first form of a page with its inputs, and the text that a person would read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = given.get("action", "")
        if tag == "input" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)


def approve(provider_url: str, user_code: str, *, login: str = "alice") -> None:
    """Approve the device login behind `user_code` as `login`; raises RuntimeError if refused.

    `provider_url` is the provider's own address. Blocks for some 50 ms; from a coroutine, call it
    by `asyncio.to_thread`.
    """
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(cookies)
    address = provider_url + "/device"
    page, address = _read(browser, address)
    answers = {"user_code": user_code, "login": login, "password": "pw-CANARY-of-a-person"}
    for _ in range(MAX_PAGES):
        if "Sign-in Success" in page.text:
            return
        if page.action is None:
            break
        form = {name: answers.get(name, value) for name, value in page.fields.items()}
        page, address = _read(browser, urllib.parse.urljoin(address, page.action), form)
    raise RuntimeError(f"the device login was not approved; {address} says: {page.text}")


def authorize(address: str, redirect_uri: str, *, login: str = "alice") -> str:
    """Log in at `address` as `login` and consent; the address at which the browser would end.

    It is not visited: the browser is on another machine. Raises RuntimeError where the provider
    sends it nowhere.
    """
    stop = _Stop(redirect_uri)
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(cookies, stop)
    answers = {"login": login, "password": "pw-CANARY-of-a-person"}
    form: dict[str, str] | None = None
    for _ in range(MAX_PAGES):
        try:
            page, address = _read(browser, address, form)
        except urllib.error.HTTPError as error:
            error.close()
            break
        form = {name: answers.get(name, value) for name, value in page.fields.items()}
        address = urllib.parse.urljoin(address, page.action or "")
    if not stop.ended_at:
        raise RuntimeError(f"the provider sent the browser nowhere, after {address}")
    return stop.ended_at


def _read(
    browser: urllib.request.OpenerDirector, address: str, form: dict[str, str] | None = None
) -> tuple[_Page, str]:
    """A page, and the address it came from after all redirects."""
    body = None if form is None else urllib.parse.urlencode(form).encode()
    with browser.open(address, body, timeout=10) as reply:
        return _Page(reply.read().decode()), reply.geturl()
