"""How activities are run, by kind of work. Protocol timeouts: never divided by `time_scale`."""

from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio.common import RetryPolicy


@dataclass(frozen=True)
class Options:
    """Timeouts and attempts of one kind of work."""

    start_to_close: timedelta
    heartbeat: timedelta
    """Every activity beats (`activities/heartbeat.py`), so that a dead worker is noticed."""
    retry: RetryPolicy
    schedule_to_close: timedelta | None = None
    schedule_to_start: timedelta | None = timedelta(minutes=5)
    """So long a try waits for a worker before a person is asked: nothing waits in silence."""

    def lasting(self, seconds: float) -> "Options":
        """Return these options with room for work that takes `seconds` by itself."""
        more = timedelta(seconds=seconds)
        close = self.schedule_to_close
        return replace(
            self,
            start_to_close=self.start_to_close + more,
            schedule_to_close=close + more if close else None,
        )


def _attempts(count: int, *, longest: float = 10.0) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=longest),
        maximum_attempts=count,
    )


_BEAT = timedelta(seconds=10)
"""Without a heartbeat for so long a short piece of work is tried again: its worker is dead or
frozen."""

READ = Options(timedelta(seconds=60), _BEAT, _attempts(5))
"""Reads that take seconds."""
RECORD = Options(timedelta(seconds=20), _BEAT, _attempts(8))
"""One small object in the bucket, or the Lease."""
WRITE = Options(timedelta(seconds=45), _BEAT, _attempts(6))
"""One compare-and-set write."""
LONG = Options(timedelta(hours=12), timedelta(seconds=20), _attempts(4))
"""Backups and other work that takes its time."""
MIGRATE = Options(timedelta(minutes=5), timedelta(seconds=20), _attempts(4))
"""The migration command; its own deadline comes on top."""
WATCHING = Options(timedelta(seconds=60), timedelta(seconds=15), _attempts(4, longest=3.0))
"""A slice of watching or a rollout's wait; its length comes on top."""
UNDO = Options(
    timedelta(minutes=10), timedelta(seconds=20), _attempts(0), timedelta(minutes=30), None
)
"""Putting things back: tried again and again for half an hour."""
FOLLOW = Options(timedelta(hours=12), timedelta(seconds=20), _attempts(12), None, None)
"""Following production: an attempt that is cut off is tried again at once. After 90 seconds or so
of nothing else people are told, and it goes on for the whole undo window."""
BEST_EFFORT = Options(timedelta(seconds=15), _BEAT, _attempts(4, longest=4.0))
"""Notices, and the record during a rollback: their failure never blocks."""
