"""One look at a time: bounded, and never silent about what it could not see."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from slipway.errors import BadInput, SlipwayError, Unreachable
from slipway.messages.preflight import Finding, Group

LONGEST = 60.0
"""Seconds of one look."""

Look = Callable[[], Awaitable[list[Finding]]]


@dataclass(frozen=True)
class Looker:
    """Makes looks. `at_once`: what does not answer is told at once; else it is raised, so that the
    whole is tried again, and a server's restart stops no deployment."""

    at_once: bool

    async def make(self, group: Group, what: str, look: Look) -> list[Finding]:
        """Return a look's findings; one that cannot be made is a blocking finding itself.

        Raises Unreachable when another attempt may help, unless `at_once`.
        """
        try:
            async with asyncio.timeout(LONGEST):
                return await look()
        except TimeoutError:
            error: SlipwayError = Unreachable(
                f"Looking at {what} took more than {LONGEST:.0f} s.", "Find out why, then retry."
            )
        except SlipwayError as found:
            error = found
        if not error.final and not self.at_once:
            raise error
        if isinstance(error, BadInput):
            # a reference that is not set, or is no address: the same for every look that meets it
            return [block(group, error.what, error.remedy)]
        return [block(group, f"Not looked at: {what}. {error.what}", error.remedy)]


async def all_of(looks: Iterable[Awaitable[list[Finding]]]) -> list[Finding]:
    """Make looks side by side and return their findings in order.

    When some raise, all have ended before the first error is raised.
    """
    done = await asyncio.gather(*looks, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [finding for found in done if not isinstance(found, BaseException) for finding in found]


def block(group: Group, what: str, remedy: str) -> Finding:
    """Return a finding that keeps a deployment from beginning."""
    return Finding(severity="block", group=group, what=what, remedy=remedy)
