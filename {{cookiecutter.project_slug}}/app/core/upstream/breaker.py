"""Stops calling who does not answer, and asks again with one call at a time."""

import random
import time


class Breaker:
    """Opens when, within ten seconds, five calls and half of all have failed.

    While open all calls are refused; after a pause one is let through, and closes it or doubles the pause.
    """

    def __init__(self, failures: int = 5, window: float = 10, pause: float = 1, longest: float = 30) -> None:
        self.failures, self.window, self.shortest, self.longest = failures, window, pause, longest
        self.pause = pause
        self.open_until: float | None = None
        self._probing = False
        self._since = self._good = self._bad = 0.0

    @property
    def closed(self) -> bool:
        """Whether calls pass as usual."""
        return self.open_until is None

    def admit(self) -> float:
        """0 to let a call pass; else the seconds after which to try again."""
        if self.open_until is None:
            return 0
        left = self.open_until - time.monotonic()
        if left > 0 or self._probing:
            return max(left, 1)
        self._probing = True
        return 0

    def succeeded(self) -> None:
        """A call was answered, be it with 404."""
        self.open_until, self._probing, self.pause = None, False, self.shortest
        self._count(good=1)

    def failed(self) -> None:
        """A call was not answered in time, or with an error of the server."""
        self._count(bad=1)
        if self._probing:
            self.pause = min(self.pause * 2, self.longest)
        elif self.open_until is not None or self._bad < max(self.failures, self._good):
            return
        self._probing = False
        self.open_until = time.monotonic() + self.pause * random.uniform(0.8, 1.2)  # noqa: S311 (no secret)
        self._since = 0

    def abandoned(self) -> None:
        """Our caller left before there was an answer: it says nothing."""
        self._probing = False

    def _count(self, good: int = 0, bad: int = 0) -> None:
        now = time.monotonic()
        if now - self._since > self.window:
            self._since, self._good, self._bad = now, 0, 0
        self._good, self._bad = self._good + good, self._bad + bad
