"""A circuit breaker: it refuses calls to an upstream that fails, and probes it with one call at a time."""

import enum
import math
import random
import time
from collections.abc import Callable


class BreakerOpen(Exception):
    """The call is refused. `seconds` is the time to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class State(enum.Enum):
    """OPEN refuses all calls during the pause; the next call is the probe of HALF_OPEN."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Opens when at least `failures` calls, and half of all calls, failed within `window` seconds.

    After `pause` seconds one probe is allowed. Its success closes the breaker; its failure doubles the pause,
    up to `max_pause`.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        window: float = 10,
        pause: float = 1,
        max_pause: float = 30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures, self.window, self.min_pause, self.max_pause = failures, window, pause, max_pause
        self.pause = pause
        self.state = State.CLOSED
        self.openings = 0
        self._clock = clock
        self._open_until = 0.0
        self._probe: Call | None = None
        self._window_start, self._succeeded, self._failed = -math.inf, 0, 0

    def seconds_to_wait(self) -> float:
        """Return 0 if a call is allowed now, or the number of seconds after which to try again."""
        if self.state is State.CLOSED:
            return 0
        left = self._open_until - self._clock()
        return max(left, 1) if left > 0 or self.state is State.HALF_OPEN else 0

    def start_call(self) -> "Call":
        """Allow a call, which then reports its outcome. Raises BreakerOpen."""
        if seconds := self.seconds_to_wait():
            raise BreakerOpen(seconds)
        call = Call(self)
        if self.state is State.OPEN:
            self.state, self._probe = State.HALF_OPEN, call
        return call

    def confirm(self, call: "Call") -> None:
        """Close the breaker if this call is the probe."""
        if self._probe is call:
            self.state, self._probe, self.pause = State.CLOSED, None, self.min_pause
            self._window_start = -math.inf

    def record(self, call: "Call", success: bool | None) -> None:
        """Record a call's outcome, None if unknown. Ignored if the call started before the last opening."""
        if call.opening != self.openings:
            return
        if success:
            self.confirm(call)
        is_probe = self._probe is call
        if is_probe:
            self.state, self._probe = State.OPEN, None  # the pause is over: the next call is a probe
        if success is None:
            return
        self._count(success)
        if is_probe:
            self._open(min(self.pause * 2, self.max_pause))
        elif not success and self._failed >= max(self.failures, self._succeeded):
            self._open(self.pause)

    def _open(self, pause: float) -> None:
        self.state, self.pause = State.OPEN, pause
        self._open_until = self._clock() + pause * random.uniform(0.8, 1.2)  # noqa: S311 (no secret)
        self.openings += 1
        self._window_start = -math.inf

    def _count(self, success: bool) -> None:
        now = self._clock()
        if now - self._window_start > self.window:
            self._window_start, self._succeeded, self._failed = now, 0, 0
        if success:
            self._succeeded += 1
        else:
            self._failed += 1


class Call:
    """A call that the breaker allowed. Only the first outcome that it reports counts."""

    def __init__(self, breaker: Breaker) -> None:
        self.opening = breaker.openings
        self._breaker = breaker
        self._reported = False

    def response_started(self) -> None:
        """Report that the response has begun. This is enough to end a probe, because streams can be long."""
        if not self._reported:
            self._breaker.confirm(self)

    def succeeded(self) -> None:
        """Report a complete response. A client error such as 404 is a success, too."""
        self._report(True)

    def failed(self) -> None:
        """Report a timeout, a lost connection, an incomplete or invalid response, or a server error."""
        self._report(False)

    def abandoned(self) -> None:
        """Report that our own client disconnected: neither a success nor a failure."""
        self._report(None)

    def _report(self, success: bool | None) -> None:
        if not self._reported:
            self._reported = True
            self._breaker.record(self, success)
