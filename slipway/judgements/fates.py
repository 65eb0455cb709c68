"""What became of a version that somebody rolled out, and whether that says that it was good."""

from dataclasses import dataclass

from slipway.base import say_length
from slipway.messages.observe import Fate, Observation, Rollout, Truth

_TRUTHS = {
    Fate.KEPT: Truth.GOOD,
    Fate.ROLLED_BACK: Truth.BAD,
    Fate.NEVER_RAN: Truth.BAD,
}


@dataclass(frozen=True)
class Patience:
    """How long a version is looked at, what counts as soon, what a rollout may take (seconds)."""

    horizon: float
    replaced_within: float
    rollout: float


@dataclass(frozen=True)
class Became:
    """A fate and one sentence about it."""

    fate: Fate
    because: str


def truth_of(one: Observation) -> Truth:
    """Return whether a version was good: a person's word, else what became of it."""
    return one.label.truth if one.label else _TRUTHS.get(one.fate, Truth.UNKNOWN)


def goes_back(one: Observation, following: Rollout) -> bool:
    """Whether the rollout that follows takes the version back: to the version before it, to an
    older ReplicaSet, or to the image before it."""
    return not one.back and (
        following.pod_hash == one.pod_hash_before
        or following.born < one.born
        or (bool(following.image) and following.image == one.image_before != one.image)
    )


def after_next(one: Observation, following: Rollout, after: float, patience: Patience) -> Became:
    """Return what became of a version when another rollout follows `after` seconds after it
    began."""
    stood, to = say_length(max(1.0, round(after))), tag_of(following.image)
    if goes_back(one, following):
        return Became(Fate.ROLLED_BACK, f"It was taken back to {to} after {stood}.")
    if not one.ran and after >= patience.rollout:
        return Became(Fate.NEVER_RAN, f"{to} replaced it after {stood}; it had never run in full.")
    if after < patience.replaced_within:
        return Became(Fate.REPLACED, f"{to} replaced it after {stood}.")
    return Became(Fate.KEPT, f"It stood for {stood}, until {to} came.")


def after_time(one: Observation, after: float, patience: Patience) -> Became | None:
    """Return what became of a version that still stands `after` seconds after its rollout began;
    None before the horizon."""
    if after < patience.horizon:
        return None
    stood = say_length(patience.horizon)
    if not one.ran:
        return Became(Fate.NEVER_RAN, f"In {stood} it has never run in full.")
    return Became(Fate.KEPT, f"It still stands after {stood}.")


def tag_of(image: str) -> str:
    """What a person calls an image: its name and tag, without registry and digest."""
    return image.partition("@")[0].rpartition("/")[2] or "another version"
