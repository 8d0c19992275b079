"""The circuit breaker, with a clock of its own."""

import pytest
from packages.saaskit.upstream.clock import Clock
from saaskit.upstream.breaker import Breaker, BreakerOpen, Call, State


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock, **options: float) -> Breaker:
    """Return a breaker that five failed calls have opened."""
    breaker = Breaker(clock=clock, **options)  # type: ignore[arg-type]
    for _ in range(5):
        breaker.start_call().failed()
    assert breaker.state is State.OPEN
    return breaker


def test_half_of_all_calls_must_fail(clock: Clock):
    breaker = Breaker(clock=clock)
    for _ in range(10):
        breaker.start_call().succeeded()
    for _ in range(9):
        breaker.start_call().failed()
    assert breaker.state is State.CLOSED
    breaker.start_call().failed()
    assert breaker.state is State.OPEN


def test_failures_count_for_ten_seconds(clock: Clock):
    breaker = Breaker(clock=clock)
    for _ in range(4):
        breaker.start_call().failed()
    clock.now += 11
    for _ in range(4):
        breaker.start_call().failed()
    assert breaker.state is State.CLOSED
    breaker.start_call().failed()
    assert breaker.state is State.OPEN


def test_calls_are_refused_during_the_pause(clock: Clock):
    breaker = opened(clock, pause=10)
    with pytest.raises(BreakerOpen) as caught:
        breaker.start_call()
    assert 8 <= caught.value.seconds <= 12
    clock.now += 12.1
    assert breaker.seconds_to_wait() == 0, "an upstream that is never called does not stay unavailable"


def test_one_probe_at_a_time_is_allowed_after_the_pause(clock: Clock):
    breaker = opened(clock)
    clock.now += 1.3
    probe = breaker.start_call()
    assert (breaker.state, breaker.seconds_to_wait()) == (State.HALF_OPEN, 1)
    with pytest.raises(BreakerOpen):
        breaker.start_call()
    probe.succeeded()
    assert breaker.state is State.CLOSED


def test_an_abandoned_probe_allows_another(clock: Clock):
    breaker = opened(clock)
    clock.now += 1.3
    breaker.start_call().abandoned()
    assert breaker.seconds_to_wait() == 0
    breaker.start_call().succeeded()
    assert breaker.state is State.CLOSED


def test_a_failed_probe_doubles_the_pause_up_to_the_maximum(clock: Clock):
    breaker = opened(clock, max_pause=3)
    for pause in (2, 3, 3):
        clock.now += 4
        breaker.start_call().failed()
        assert (breaker.state, breaker.pause) == (State.OPEN, pause)
    clock.now += 4
    breaker.start_call().succeeded()
    assert (breaker.state, breaker.pause) == (State.CLOSED, 1)


def test_only_the_first_outcome_of_a_call_counts(clock: Clock):
    breaker = opened(clock)
    clock.now += 1.3
    probe = breaker.start_call()
    probe.failed()
    for report in (Call.abandoned, Call.succeeded, Call.response_started):
        report(probe)
        assert (breaker.state, breaker.pause) == (State.OPEN, 2)


@pytest.mark.parametrize("report", [Call.succeeded, Call.failed, Call.abandoned, Call.response_started])
def test_calls_from_before_the_opening_are_ignored(clock: Clock, report):
    breaker = Breaker(clock=clock)
    old = breaker.start_call()
    for _ in range(5):
        breaker.start_call().failed()
    clock.now += 1.3
    probe = breaker.start_call()
    report(old)
    assert (breaker.state, breaker.pause) == (State.HALF_OPEN, 1)
    probe.succeeded()
    assert breaker.state is State.CLOSED


def test_a_stream_closes_the_breaker_when_it_starts(clock: Clock):
    breaker = opened(clock)
    clock.now += 1.3
    stream = breaker.start_call()
    stream.response_started()
    assert breaker.state is State.CLOSED
    stream.failed()
    assert (breaker.state, breaker.pause) == (State.CLOSED, 1), "now it is one failed call among others"
