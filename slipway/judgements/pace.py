"""How far a long piece of work has come, in one line."""

from slipway.base import say_length

_EARLY = 0.02
"""Below this share nothing is said about what is left."""


def how_far(done: int, total: int, seconds: float, now: str = "") -> str:
    """Return bytes done of about `total`, and how long the rest takes at this pace.

    `seconds`: since it began; `now`: what it is at, such as a table. An estimate that was too low
    never says that less than nothing is left.
    """
    parts = [f"{_mib(done)} of {_mib(max(total, done))} MiB"]
    if now:
        parts.append(now)
    share = done / total if total > 0 else 0.0
    if share >= 1.0:
        parts.append("nearly done")
    elif share > _EARLY and seconds > 0:
        parts.append(f"about {say_length(float(max(1, round(seconds / share - seconds))))} left")
    return ", ".join(parts)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f}" if size >= 10 << 20 else f"{size / (1 << 20):.1f}"
