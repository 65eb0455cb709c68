"""The course of a run is read from the sentences that the workflows really write: the committed
histories hold them."""

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.account import account_of, people_of
from slipway.course import course_of, documents_of, found_after, moments_of
from slipway.incident import incident_record, post_mortem
from slipway.report import Findings, report_html, report_markdown
from slipway.run import Event
from slipway.states import Outcome, Phase
from slipway.status import StatusDocument
from slipway.verdicts import Reason
from tests.unit.examples import START, rolled_back_run, verdict

HISTORIES = Path(__file__).parents[1] / "replay" / "histories"
ENDED = (
    *("deployed", "rolled_back", "held_and_skipped", "rollback_from_record", "migration_failed"),
    *("aborted", "cancelled", "expired", "rejected"),
)


@cache
def told(story: str) -> StatusDocument:
    """Return the status document with which a committed history ended."""
    events = json.loads((HISTORIES / f"{story}.json").read_text())["events"]
    result = events[-1]["workflowExecutionCompletedEventAttributes"]["result"]["payloads"][0]
    return StatusDocument.model_validate(json.loads(base64.b64decode(result["data"]))["status"])


# not the rollback from the record: the deployment's skipped clock was ahead of what followed it
@pytest.mark.parametrize("story", [one for one in ENDED if one != "rollback_from_record"])
def test_every_phase_and_every_service_of_a_real_run_has_its_stretch(story: str) -> None:
    status = told(story)
    course = course_of(status)
    phases = [one.what for one in course.of("phase")]
    assert phases == list(dict.fromkeys(one.phase.value for one in status.timeline))[: len(phases)]
    services = {one.what for one in course.of("rollout")}
    begun = {one.step for one in status.undo if one.step.startswith("rollout:")}
    assert services == (begun if "roll_out" in phases else set())
    for one in course.stretches:
        assert course.began <= one.began <= one.ended <= course.ended


def test_a_real_rollback_has_its_moments_in_order() -> None:
    status = told("rolled_back")
    moments = moments_of(status)
    assert moments is not None
    assert moments.culprit_at == course_of(status).of("rollout", "rollout:analytics")[0].began
    assert moments.culprit_at is not None
    assert moments.noticed_at is not None
    assert moments.restored_at is not None
    assert moments.culprit_at < moments.noticed_at <= moments.decided_at
    assert moments.decided_at < moments.restored_at <= moments.ended_at
    undone = [one.what for one in course_of(status).of("undo")]
    assert set(undone) == {"rollout:analytics", "rollout:api-gateway", "migrate"}
    assert [one.rpartition("/")[2] for one in documents_of(status)] == [
        "incident.json",
        "post-mortem.md",
    ]


def test_services_go_back_side_by_side_and_the_data_after_them() -> None:
    for status in (told("rolled_back"), _status(rolled_back_run().timeline)):
        course = course_of(status)
        *services, data = course.of("undo")
        (back,) = course.of("phase", "roll_back")
        assert {one.began for one in services} == {back.began}
        assert data.began == max(one.ended for one in services)


def test_a_second_round_begins_with_the_decision_to_try_again() -> None:
    again = [
        (321, "Not put back rollout:analytics: it hangs", ""),
        (330, "rollback: retry, the webhook is off", "olga"),
        (335, "Put back rollout:analytics: 2 of 2", ""),
    ]
    late = [
        Event(at=START + timedelta(seconds=at), phase=Phase.ROLL_BACK, text=text, by=by)
        for at, text, by in again
    ]
    course = course_of(_status([*rolled_back_run().timeline[:12], *late]))
    spent = [one.seconds for one in course.of("undo", "rollout:analytics")]
    assert spent == [21, 5]


def test_a_failed_migration_is_its_own_culprit() -> None:
    status = told("migration_failed")
    moments = moments_of(status)
    assert moments is not None
    assert moments.culprit_at == course_of(status).of("phase", "migrate")[0].began
    assert moments.noticed_at == moments.decided_at


@pytest.mark.parametrize("story", ["deployed", "held_and_skipped", "expired", "rejected"])
def test_a_run_that_put_nothing_back_has_no_account_of_it(story: str) -> None:
    assert account_of(told(story)) is None


def test_a_persons_rollback_does_not_guess_when_it_was_noticed() -> None:
    moments = moments_of(told("rollback_from_record"))
    assert moments is not None
    assert (moments.culprit_at, moments.noticed_at, moments.to_detect) == (None, None, None)


def test_a_decision_of_a_real_run_stands_among_the_people() -> None:
    parts = {one.did: one for one in people_of(told("held_and_skipped"))}
    assert parts["decided skip for monitor:analytics"].person == "sre@teei.example"


def test_noticing_counts_from_the_first_judgement_of_the_window_that_decided() -> None:
    run = rolled_back_run()
    accepted = Event(
        at=START + timedelta(seconds=200),
        phase=Phase.ROLL_OUT,
        text="HOLD in monitor:api-gateway: something else",
    )
    run.timeline.insert(8, accepted)
    account = account_of(_status(run.timeline))
    assert account is not None
    assert account.moments.to_detect == 130
    assert account.moments.to_decide == 20


def test_a_verdict_about_a_service_not_touched_implicates_the_migration() -> None:
    run = rolled_back_run(verdict=verdict(service="api-gateway"))
    assert incident_record(run)["culprit_began_at"] == "2026-11-23T20:02:10Z"


def test_an_abort_was_noticed_when_it_was_acknowledged() -> None:
    run = rolled_back_run(verdict=verdict(Reason.ABORTED, None))
    stopped = Event(
        at=START + timedelta(seconds=298), phase=Phase.ROLL_OUT, text="Abort acknowledged: nothing"
    )
    run.timeline.insert(10, stopped)
    assert incident_record(run)["noticed_at"] == "2026-11-23T20:04:58Z"


def test_what_a_person_says_is_never_taken_for_what_happened() -> None:
    lie = Event(
        at=START + timedelta(seconds=600),
        phase=Phase.ROLL_BACK,
        text="After putting everything back: all is lost.",
        by="mallory",
    )
    status = _status([*rolled_back_run().timeline, lie])
    assert found_after(status) == ""
    assert course_of(status).ended == START + timedelta(seconds=320)


_SENTENCES = (
    *(
        "Phase roll_out began.",
        "Phase roll_back began.",
        "Phase hand_over began.",
        "Phase x began.",
    ),
    *("analytics is deployed: x", "nobody is deployed: ", "Put back rollout:analytics: x"),
    *(
        "Not put back migrate: x",
        "HOLD in monitor:analytics: x",
        "ROLLBACK in : ",
        "incident.json: ",
    ),
)
_EVENTS = st.lists(
    st.builds(
        Event,
        at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants naive bounds
        phase=st.sampled_from(Phase),
        text=st.sampled_from(_SENTENCES) | st.text(max_size=20),
        by=st.sampled_from(["", "olga"]),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(_EVENTS, st.sampled_from(Outcome))
def test_no_timeline_whatever_keeps_a_report_or_a_post_mortem_from_being_written(
    events: list[Event], outcome: Outcome
) -> None:
    """The incident is written inside the workflow, where an error would hold the rollback up."""
    run = rolled_back_run(timeline=events, outcome=outcome)
    assert incident_record(run)["deployment"] == run.id
    assert post_mortem(run).startswith("# Post-mortem")
    found = Findings(status=_status(events, outcome=outcome))
    assert report_markdown(found)
    assert report_html(found)


def _status(timeline: list[Event], **changes: object) -> StatusDocument:
    from slipway.status import status_of

    return status_of(rolled_back_run(timeline=timeline, **changes))
