"""A prompt that waits for a pasted line while something else may make it needless.

Knows terminals; refuses to know what the line is for. The hard thing: a terminal hands out a line
of 4096 bytes at most (1024 on macOS), and an issuer's address may be longer. So the line is put
together here, letter by letter, and the terminal is given back as it was, however it ends.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
from collections.abc import Callable
from typing import Any

from credd.ctl.harmless import harmless

LONGEST = 64 * 1024
"""Bytes of a line; what is beyond is dropped."""

ENDS = b"\r\n"
ERASERS = b"\x7f\x08"
KILL = 0x15  # Ctrl-U: begin anew


class Paste:
    """Asks for a line on the terminal, in a thread of its own: `start`, then `stop` or an answer.

    `give` is called with each line that is not empty, once; it may raise nothing.
    """

    def __init__(self, prompt: str, give: Callable[[str], None]) -> None:
        self._prompt = harmless(prompt)
        self._give = give
        self._keyboard = sys.stdin.fileno()
        self._screen = sys.stderr.fileno()
        self._awake, self._wake = os.pipe()
        self._before: list[Any] = termios.tcgetattr(self._keyboard)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Show the prompt and wait for the line."""
        calm = termios.tcgetattr(self._keyboard)
        calm[3] &= ~(termios.ICANON | termios.ECHO)  # Ctrl-C still interrupts
        termios.tcsetattr(self._keyboard, termios.TCSADRAIN, calm)
        self._thread.start()

    def stop(self) -> None:
        """Wait no longer; the terminal is as it was before."""
        os.write(self._wake, b"x")
        if self._thread.ident is not None:  # else Ctrl-C came before it had begun
            self._thread.join()
        termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)
        os.close(self._awake)
        os.close(self._wake)

    def _run(self) -> None:
        self._show(f"{self._prompt}: ".encode())
        line = self._line()
        self._show(b"\r\n")
        if line:
            self._give(line)

    def _line(self) -> str:
        """What was typed before the next line end, without white space around it; "" where it is
        not wanted any more. Empty lines are passed over."""
        line = Line()
        while True:
            ready = select.select([self._keyboard, self._awake], [], [])[0]
            typed = b"" if self._awake in ready else os.read(self._keyboard, 4096)
            if not typed:
                return ""
            for number in typed:
                self._show(line.take(number))
                if line.is_over and line.text():
                    return line.text()
                line.is_over = False

    def _show(self, text: bytes) -> None:
        os.write(self._screen, text)


class Line:
    """A line as it is typed. Pure: a byte in, the bytes to echo out."""

    def __init__(self) -> None:
        self._typed = bytearray()
        self.is_over = False

    def __repr__(self) -> str:
        return f"<Line {len(self._typed)} bytes>"

    def take(self, number: int) -> bytes:
        """Take one byte of the keyboard; the bytes to show for it. Control bytes are dropped."""
        if number in ENDS:
            self.is_over = True
            return b""
        if number in ERASERS:
            return self._erase(1)
        if number == KILL:
            return self._erase(len(self._typed))
        if not 0x20 < number < 0x7F or len(self._typed) >= LONGEST:
            return b""  # an address has neither blanks nor anything beyond ASCII
        self._typed.append(number)
        return bytes([number])

    def text(self) -> str:
        """The line so far."""
        return self._typed.decode("ascii")

    def _erase(self, count: int) -> bytes:
        count = min(count, len(self._typed))
        del self._typed[len(self._typed) - count :]
        return b"\b \b" * count
