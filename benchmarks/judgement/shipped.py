"""Runs the detector that slipway ships, on every simulated window."""

from dataclasses import dataclass

import numpy as np

from benchmarks.judgement.parts import Part
from benchmarks.judgement.scrapes import LAG, Counts, Flags, Floats, Scrapes
from slipway.judgements.bounds import dispersion
from slipway.judgements.detector import Detector, Setting
from slipway.judgements.rule import Frame
from slipway.messages.watch import TrafficBefore
from slipway.plan import Limits


@dataclass(frozen=True)
class Judged:
    """Of each window."""

    rollback: Floats
    """When it is rolled back, in seconds since it began; infinity: never."""
    hold: Floats
    """When it is held, or rolled back, first."""
    safe: Flags
    """Whether SAFE was certified at its end."""
    safe_ever: Flags
    """Whether it was at any scrape."""


def judged(part: Part, to_the_end: bool = False) -> Judged:
    """Judge each window, up to ROLLBACK or to where nothing can change any more.

    `to_the_end`: to its last scrape, and asked for SAFE at every one.
    """
    scrapes, runs = part.scrapes, part.scrapes.runs
    rollback, hold = np.full((2, runs), np.inf)
    safe, ever = np.zeros((2, runs), dtype=bool)
    setting = setting_of(scrapes)
    columns = zip(
        scrapes.at.tolist(),
        scrapes.requests.tolist(),
        scrapes.failures.tolist(),
        (np.isfinite(scrapes.at).sum(axis=1) if to_the_end else deciding(scrapes)).tolist(),
        strict=True,
    )
    for run, (at, requests, failures, count) in enumerate(columns):
        if part.before is not None:
            setting = setting_of(scrapes, before_of(part.before, run))
        detector = Detector(setting)
        for number in range(count):
            detector.add(at[number], requests[number], failures[number])
            if to_the_end:
                safe[run] = detector.safe()
                ever[run] |= safe[run]
            elif detector.rolled_back_at is not None:
                break
        rollback[run] = _time(detector.rolled_back_at)
        hold[run] = min(_time(detector.held_at), rollback[run])
    return Judged(rollback, hold, safe, ever)


def deciding(scrapes: Scrapes) -> Counts:
    """Return how many scrapes of each window can decide anything: those up to its last failure, and
    while that one is still "now".

    Without failures a scrape's factors are at most 1, so that no evidence grows, and ROLLBACK
    wants failures now. That this changes no decision is tested on windows judged to the end.
    """
    failed = np.where(scrapes.failures > 0, scrapes.at, -np.inf).max(axis=1, keepdims=True)
    still = failed + setting_of(scrapes).now + scrapes.interval
    count: Counts = (scrapes.at <= still).sum(axis=1)
    return count


def _time(found: float | None) -> float:
    return np.inf if found is None else found + LAG


def setting_of(scrapes: Scrapes, before: TrafficBefore | None = None) -> Setting:
    """Return the setting that slipway judges such a window by, with a plan's default limits."""
    return Frame(0.0, scrapes.window, scrapes.interval, Limits(), before=before).setting


def before_of(before: Scrapes, run: int) -> TrafficBefore:
    """Return the hour before as slipway reads it."""
    requests, failures = before.requests[run].tolist(), before.failures[run].tolist()
    return TrafficBefore(
        requests=sum(requests),
        failures=sum(failures),
        phi=dispersion(zip(requests, failures, strict=True)),
        seconds=before.window,
    )
