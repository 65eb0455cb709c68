"""What became of a version, and what that says of it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.fates import Patience, after_next, after_time, truth_of
from slipway.messages.observe import Fate, Label, Observation, Rollout, Truth

PATIENCE = Patience(horizon=86400.0, replaced_within=3600.0, rollout=600.0)


def observation(**changes: Any) -> Observation:
    values: dict[str, Any] = {
        "id": "analytics-1",
        "service": "analytics",
        "image": "r/analytics:2",
        "image_before": "r/analytics:1",
        "pod_hash": "h2",
        "pod_hash_before": "h1",
        "born": 5000.0,
        "began": datetime.fromtimestamp(5000, UTC),
        "noticed_after": 1.0,
        "ran": True,
        **changes,
    }
    return Observation(**values)


def following(**changes: Any) -> Rollout:
    values: dict[str, Any] = {
        "service": "analytics",
        "uid": "u",
        "pod_hash": "h3",
        "image": "registry/r/analytics:3@sha256:00",
        "template": {},
        "born": 6000.0,
        "began": 6000.0,
        **changes,
    }
    return Rollout(**values)


@pytest.mark.parametrize(
    ("one", "then", "after", "fate", "truth"),
    [
        ({}, {"pod_hash": "h1", "born": 7000.0}, 60, Fate.ROLLED_BACK, Truth.BAD),
        ({}, {"pod_hash": "h0", "born": 100.0}, 60, Fate.ROLLED_BACK, Truth.BAD),
        ({}, {"image": "r/analytics:1"}, 60, Fate.ROLLED_BACK, Truth.BAD),
        ({}, {}, 60, Fate.REPLACED, Truth.UNKNOWN),
        ({}, {}, 3600, Fate.KEPT, Truth.GOOD),
        ({"ran": False}, {}, 60, Fate.REPLACED, Truth.UNKNOWN),
        ({"ran": False}, {}, 600, Fate.NEVER_RAN, Truth.BAD),
        ({"ran": False}, {}, 7200, Fate.NEVER_RAN, Truth.BAD),
        ({"back": True}, {"pod_hash": "h1"}, 60, Fate.REPLACED, Truth.UNKNOWN),
        ({"image_before": "r/analytics:2"}, {"image": "r/analytics:2"}, 60, Fate.REPLACED,
         Truth.UNKNOWN),
    ],
    ids=(
        "the version before", "an older ReplicaSet", "only the image before", "soon a new one",
        "late a new one", "overtaken while it rolled out", "did not come up", "never came up",
        "a way back that is left again", "settings were changed twice",
    ),
)  # fmt: skip
def test_the_next_rollout_tells(
    one: dict[str, Any], then: dict[str, Any], after: float, fate: Fate, truth: Truth
) -> None:
    seen = observation(**one)
    became = after_next(seen, following(**then), after, PATIENCE)
    assert became.fate is fate
    assert truth_of(seen.model_copy(update={"fate": became.fate})) is truth


def test_the_sentence_names_tag_and_time() -> None:
    became = after_next(observation(), following(), 100, PATIENCE)
    assert became.because == "analytics:3 replaced it after 1m40s."


def test_at_the_horizon_what_stands_was_kept() -> None:
    assert after_time(observation(), 86_399, PATIENCE) is None
    became = after_time(observation(), 86_400, PATIENCE)
    assert became is not None
    assert became.fate is Fate.KEPT
    never = after_time(observation(ran=False), 86_400, PATIENCE)
    assert never is not None
    assert never.fate is Fate.NEVER_RAN


@given(
    fate=st.sampled_from(Fate),
    truth=st.sampled_from((Truth.GOOD, Truth.BAD)),
)
def test_a_persons_word_stands_above_everything(fate: Fate, truth: Truth) -> None:
    word = Label(truth=truth, person="a", because="b")
    assert truth_of(observation(fate=fate, label=word)) is truth


@given(
    after=st.floats(0, 1e6),
    ran=st.booleans(),
    back=st.booleans(),
    born=st.floats(0, 1e4),
    pod_hash=st.sampled_from(("h0", "h1", "h3")),
)
def test_one_that_is_not_taken_back_within_its_time_is_never_called_bad(
    after: float, ran: bool, back: bool, born: float, pod_hash: str
) -> None:
    one = observation(ran=ran, back=back)
    then = following(born=born, pod_hash=pod_hash)
    became = after_next(one, then, after, PATIENCE)
    truth = truth_of(one.model_copy(update={"fate": became.fate}))
    went_back = not back and (pod_hash == "h1" or born < one.born)
    if not went_back and (ran or after < PATIENCE.rollout):
        assert truth is not Truth.BAD
    if went_back:
        assert truth is Truth.BAD
