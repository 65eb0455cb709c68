"""The observations of one environment, as its observer keeps them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from slipway.judgements.fates import Became
    from slipway.messages.observe import Fate, News, Observation, ObserveState
    from slipway.observed_words import say_fate, say_verdict
    from slipway.verdicts import Kind, Reason, Signal, Verdict

KEPT = 400
"""Observations that are kept, half a megabyte; of the others the oldest go first."""
_NEWS = 200
_LONGEST = 300
"""Characters of a verdict's sentence that are kept."""

Said = Literal["noticed", "verdict", "outcome", "label", "trouble"]


class Observations:
    """What was seen so far. `told` is called after each line that is worth showing."""

    def __init__(self, state: ObserveState, told: Callable[[], None]) -> None:
        self.state = state
        self._told = told

    def open(self, service: str | None = None) -> list[Observation]:
        """Return those of which nothing is known to have become, of one service or of all."""
        return [
            one
            for one in self.state.observations
            if one.fate is Fate.OPEN and service in (None, one.service)
        ]

    def find(self, name: str) -> Observation | None:
        """Return the observation of that ID, or None."""
        return next((one for one in self.state.observations if one.id == name), None)

    def put(self, changed: Observation) -> None:
        """Add an observation, or put it in the place of what it was."""
        kept = list(self.state.observations)
        place = next((number for number, one in enumerate(kept) if one.id == changed.id), None)
        if place is None:
            kept.append(changed)
        else:
            kept[place] = changed
        self.change(observations=kept)

    def conclude(
        self, name: str, verdict: Verdict, after: float | None, *, cut_short: bool = False
    ) -> None:
        """Keep the verdict on a rollout, unless it has one: it may have been overtaken."""
        one = self.find(name)
        if one is None or one.verdict is not None:
            return
        short = verdict.model_copy(update={"because": verdict.because[:_LONGEST]})
        rounded = None if after is None else round(after, 1)
        changes = {"verdict": short, "verdict_after": rounded, "cut_short": cut_short}
        one = one.model_copy(update=changes)
        self.put(one)
        self.tell("verdict", one.id, say_verdict(one))

    def cut_short(self, name: str, because: str) -> None:
        """Keep that a rollout could not be judged to the end, for no fault of slipway's."""
        verdict = Verdict(
            kind=Kind.INCONCLUSIVE,
            signal=Signal.ROLLOUT,
            reason=Reason.FOREIGN_CHANGE,
            because=because,
        )
        self.conclude(name, verdict, None, cut_short=True)

    def settle(self, one: Observation, became: Became, at: float) -> None:
        """Keep what became of a version, at a moment in unix seconds."""
        after = round(max(0.0, at - one.began.timestamp()), 1)
        changes = {"fate": became.fate, "fate_after": after, "fate_because": became.because}
        one = one.model_copy(update=changes)
        self.put(one)
        self.tell("outcome", one.id, say_fate(one))

    def forget(self) -> None:
        """Keep the newest, and those that are being judged or of which nothing has become."""
        kept = self.state.observations
        over = [one for one in kept if one.verdict is not None and one.fate is not Fate.OPEN]
        excess = {one.id for one in over[: max(0, len(kept) - KEPT)]}
        if excess:
            left = [one for one in kept if one.id not in excess]
            self.change(observations=left, forgotten=self.state.forgotten + len(excess))

    def tell(self, kind: Said, observation: str, text: str) -> None:
        """Add a line for whoever follows."""
        news = self.state.news
        line = News(
            number=news[-1].number + 1 if news else 1,
            at=workflow.now(),
            kind=kind,
            observation=observation,
            text=text[:500],
        )
        self.change(news=[*news[1 - _NEWS :], line])
        self._told()

    def change(self, **changes: object) -> None:
        """Replace parts of the state."""
        self.state = self.state.model_copy(update=changes)

    @property
    def age(self) -> timedelta:
        """How long this environment has been observed."""
        return workflow.now() - self.state.since
