"""The daemon's log: one line an event, to stderr, as text or as JSON.

Rules: a line is made of our own words and of names; a secret is never an argument of a log call. A
traceback's text may quote what an exception quotes, so it is shortened to the error's type and
place here, whatever the caller asked for.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import time
import traceback

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Discreet(logging.Formatter):
    """Formats without ever printing an exception's own words."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        own = copy.copy(record)
        own.exc_text = None  # another handler's full text may be cached there
        return super().format(own)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        kind, _, trace = ei if isinstance(ei, tuple) else (None, None, None)
        frames = traceback.extract_tb(trace)[-1:] if trace is not None else []
        place = f" at {frames[0].name}:{frames[0].lineno}" if frames else ""
        return f"({kind.__name__ if kind else 'error'}{place})"

    def formatStack(self, stack_info: str) -> str:  # noqa: ARG002, N802 - logging's own shape
        return ""


class _Json(_Discreet):
    """One JSON object a line: time (Unix seconds), level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        plain = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            plain["error"] = self.formatException(record.exc_info)
        return json.dumps(plain)


def set_up(level: str, style: str) -> None:
    """Send the log to stderr: `level` as in config.toml, `style` "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Discreet(TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries speak when something is wrong; ours as asked
    set_level(level)


_pinned: list[str] = []


def pin_level(level: str) -> None:
    """Keep to this level, whatever config.toml says later: the command line has named it."""
    _pinned[:] = [level]


def set_level(level: str) -> None:
    """How much our own rooms say: debug, info, warning or error."""
    wanted = _pinned[0] if _pinned else level
    logging.getLogger("credd").setLevel(wanted.upper())


def warn(text: str) -> None:
    """One warning of the start, in our own words."""
    logging.getLogger("credd").warning("%s", text)
