"""Device codes: asked for by a machine, approved by a person, exchanged once (RFC 8628).

Knows codes, verdicts and the pace of polling. Refuses to know tokens; time is passed in.
The one hard thing: ``slow_down`` raises the interval by 5 seconds for good, and the client has
to remember that. Polling faster than the interval it was told is a violation.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from demo.issuer_record import Record
from demo.issuer_request import OAuthError
from demo.issuer_settings import DEVICE_CODE_MARK, Settings

SLOW_DOWN_STEP = 5.0  # seconds; RFC 8628 section 3.5
EARLY = 0.02  # seconds of forgiveness: two clocks, and a timer that may fire a hair too soon
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, no words; RFC 8628 section 6.1


@dataclass
class Device:
    """One device code on its way: verdict is "", approved, denied or exchanged."""

    device_code: str = field(repr=False)
    user_code: str
    client_id: str
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    started_at: float
    interval: float
    subject: str
    polled_at: float | None = None
    verdict: str = ""
    lost: bool = False


class Devices:
    """All device codes of one issuer."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._settings = settings
        self._record = record
        self._by_device_code: dict[str, Device] = {}

    def start(
        self, client_id: str, scope: tuple[str, ...], resources: tuple[str, ...], now: float
    ) -> Device:
        """A new pair of codes."""
        letters = [secrets.choice(USER_CODE_LETTERS) for _ in range(8)]
        user_code = "".join(letters[:4]) + "-" + "".join(letters[4:])
        device_code = DEVICE_CODE_MARK + secrets.token_urlsafe(24)
        pace, subject = self._settings.interval, self._settings.subject
        device = Device(device_code, user_code, client_id, scope, resources, now, pace, subject)
        self._by_device_code[device_code] = device
        self._record.minted.append(device_code)
        return device

    def find(self, device_code: str) -> Device | None:
        """The device of this device code."""
        return self._by_device_code.get(device_code)

    def pending(self) -> list[str]:
        """User codes that wait for a person."""
        return [one.user_code for one in self._by_device_code.values() if not one.verdict]

    def decide(self, user_code: str, verdict: str, subject: str = "") -> None:
        """What the person said. Raises KeyError for a code nobody waits for."""
        for device in self._by_device_code.values():
            if device.user_code == user_code and not device.verdict:
                device.verdict, device.subject = verdict, subject or device.subject
                return
        raise KeyError(user_code)

    def exchange(self, device_code: str, client_id: str, now: float, slow_down: bool) -> Device:
        """Answer one poll: the approved device, once.

        Raises OAuthError authorization_pending, slow_down, access_denied, expired_token, or
        invalid_grant for a code that is unknown, foreign or exchanged (RFC 8628 section 3.5).
        """
        device = self.find(device_code)
        if device is None or device.client_id != client_id:
            raise OAuthError("invalid_grant", "unknown device code")
        self._keep_pace(device, now, slow_down)
        self._judge(device, now)
        device.verdict = "exchanged"
        return device

    def _keep_pace(self, device: Device, now: float, slow_down: bool) -> None:
        last, device.polled_at = device.polled_at, now
        too_fast = last is not None and now - last < device.interval - EARLY
        if too_fast:
            self._record.violate(f"polled a device code before {device.interval:g} s were over")
        if too_fast or slow_down:
            device.interval += SLOW_DOWN_STEP
            raise OAuthError("slow_down")

    def _judge(self, device: Device, now: float) -> None:
        self._auto_approve(device, now)
        if device.verdict == "exchanged":
            self._refuse_second(device)
        if device.verdict == "denied":
            raise OAuthError("access_denied")
        if now >= device.started_at + self._settings.device_lifetime:
            raise OAuthError("expired_token")
        if device.verdict != "approved":
            raise OAuthError("authorization_pending")

    def _auto_approve(self, device: Device, now: float) -> None:
        wait = self._settings.auto_approve_after
        if wait is not None and not device.verdict and now >= device.started_at + wait:
            device.verdict = "approved"

    def _refuse_second(self, device: Device) -> None:
        if not device.lost:
            self._record.violate("device code posted after it was exchanged")
        raise OAuthError("invalid_grant", "device code was used")
