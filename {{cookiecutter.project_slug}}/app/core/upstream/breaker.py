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
        self.openings = 0
        self._probe: Call | None = None
        self._since = self._good = self._bad = 0.0

    def refuses(self) -> float:
        """0 when a call may pass; else the seconds after which to try again."""
        left = self.open_until - time.monotonic() if self.open_until is not None else 0
        return max(left, 1) if left > 0 or self._probe else 0

    def admit(self) -> "Call":
        """Let a call pass, which then says once how it went."""
        call = Call(self)
        if self.open_until is not None:
            self._probe = call
        return call

    def resume(self, call: "Call") -> None:
        """Close, if this is the call that asked."""
        if self._probe is call:
            self.open_until, self._probe, self.pause, self._since = None, None, self.shortest, 0

    def settle(self, call: "Call", good: bool | None) -> None:
        """Take what a call says; of one that began before the last opening it is no news."""
        if call.opening != self.openings:
            return
        if good:
            self.resume(call)
        if probing := self._probe is call:
            self._probe = None
        if good is not None:
            self._count(good)
        if good is False and (probing or self._bad >= max(self.failures, self._good)):
            self.pause = min(self.pause * 2, self.longest) if probing else self.pause
            self.open_until = time.monotonic() + self.pause * random.uniform(0.8, 1.2)  # noqa: S311 (no secret)
            self.openings, self._since = self.openings + 1, 0

    def _count(self, good: bool) -> None:
        now = time.monotonic()
        if now - self._since > self.window:
            self._since, self._good, self._bad = now, 0, 0
        self._good, self._bad = self._good + good, self._bad + (not good)


class Call:
    """One call that was let through. What it says first counts."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker: Breaker | None = breaker
        self.opening = breaker.openings

    def answered(self) -> None:
        """Its answer has begun. To one that asks whether calls may pass that is enough: streams are long."""
        if self.breaker:
            self.breaker.resume(self)

    def succeeded(self) -> None:
        """It was answered, be it with 404."""
        self._settle(True)

    def failed(self) -> None:
        """It was not answered in time or to the end, or with an error of the server, or with nonsense."""
        self._settle(False)

    def abandoned(self) -> None:
        """Our caller left before the end: that says nothing."""
        self._settle(None)

    def _settle(self, good: bool | None) -> None:
        breaker, self.breaker = self.breaker, None
        if breaker:
            breaker.settle(self, good)
