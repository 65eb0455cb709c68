"""Versions of the servers around: those that were tried, and a word about every other."""

import re

from slipway.messages.preflight import Finding, Group

TRIED: dict[str, tuple[str, Group]] = {
    "Kubernetes": ("1.36", "cluster"),
    "PostgreSQL": ("18", "database"),
    "Temporal": ("1.32", "worker"),
}
"""The version that the tests run on, as far as it is compared, and where a finding belongs."""


def judge_version(server: str, found: str) -> list[Finding]:
    """Return a note when a server's version is another than the one that was tried."""
    tried, group = TRIED[server]
    want, have = _numbers(tried), _numbers(found)[: len(_numbers(tried))]
    if have == want:
        return []
    said = found or "of an unknown version"
    age = "older" if have < want else "newer"
    why = f"It is {age}: try a deployment in staging first." if have else "It did not say which."
    what = f"{server} is {said}; slipway was tried with {tried}."
    return [Finding(severity="note", group=group, what=what, remedy=why)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version)[:3])
