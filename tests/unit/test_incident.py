"""The incident record and the post-mortem's draft say what happened, in full and in order."""

import json

from slipway.incident import incident_record, post_mortem
from slipway.run import Event
from slipway.states import Outcome, Phase, UndoState
from slipway.verdicts import Reason, Verdict
from tests.unit.examples import after, fresh_run, rolled_back_run, verdict


def test_the_record_is_plain_json_and_names_the_cause() -> None:
    record = json.loads(json.dumps(incident_record(rolled_back_run())))
    assert record["trigger"]["reason"] == "ErrorRateTooHigh"
    assert record["trigger"]["service"] == "analytics"
    assert record["outcome"] == "rolled_back"
    assert record["lost_rows"] == 3


def test_the_record_counts_from_the_decision_to_the_end() -> None:
    record = incident_record(rolled_back_run())
    assert record["rollback_began_at"] == "2026-11-23T20:05:00Z"
    assert record["seconds_to_undo"] == 20


def test_only_touched_services_have_an_image_that_was_tried() -> None:
    services = {one["name"]: one for one in incident_record(rolled_back_run())["services"]}
    assert services["analytics"]["image_tried"].endswith("b" * 64)
    assert services["analytics"]["image_before"].endswith("a" * 64)
    assert services["api-gateway"]["image_tried"] == ""


def test_evidence_lists_every_kept_artefact_with_its_digest() -> None:
    evidence = incident_record(rolled_back_run())["evidence"]
    assert {one["sha256"] for one in evidence} == {"4" * 64, "6" * 64}


def test_actions_have_owners_and_always_include_the_procedure() -> None:
    actions = incident_record(rolled_back_run())["actions"]
    assert any("Update the deployment procedure" in one["action"] for one in actions)
    assert any("teei_bad" in one["action"] and "3 lost rows" in one["action"] for one in actions)
    assert all(one["owner"] for one in actions)


def test_an_undo_that_failed_becomes_an_action() -> None:
    run = rolled_back_run(outcome=Outcome.ROLLBACK_INCOMPLETE)
    run.undo[1].state = UndoState.FAILED
    actions = [one["action"] for one in incident_record(run)["actions"]]
    assert any("rollout:analytics" in action for action in actions)
    assert "could NOT be rolled back completely" in post_mortem(run)


def test_the_post_mortem_has_every_section_in_order() -> None:
    text = post_mortem(rolled_back_run())
    heads = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert heads[:4] == ["Summary", "Impact", "Timeline (UTC)", "Trigger"]
    assert {"What went well", "What went badly", "Where we were lucky", "Actions"} <= set(heads)
    assert "| public.ingestion_events | 3 |" in text
    assert "Approved: vera (vp)" in text
    assert "Writes were refused for 1.5 s" in text


def test_a_run_without_verdict_database_or_timeline_can_be_written_down() -> None:
    run = fresh_run()
    assert incident_record(run)["trigger"]["because"] == "No verdict was recorded."
    assert "The database was not touched by the rollback." in post_mortem(run)


def test_texts_of_others_cannot_break_the_tables() -> None:
    run = rolled_back_run()
    run.timeline.append(
        Event(at=after(330), phase=Phase.ROLL_BACK, text="a | b\n## c <script>", by="x")
    )
    text = post_mortem(run)
    assert "a \\| b ## c &lt;script>" in text
    assert "\n## c" not in text


def test_a_persons_request_is_a_trigger_too() -> None:
    asked: Verdict = verdict(Reason.ROLLBACK_REQUESTED, None)
    assert "RollbackRequested" in post_mortem(rolled_back_run(verdict=asked))


def test_demo_marks_and_compressed_time_stand_at_the_top() -> None:
    run = rolled_back_run()
    run.plan = run.plan.model_copy(update={"time_scale": 15.0})
    run.release = run.release.model_copy(update={"marks": ["demo"]})
    head = post_mortem(run).splitlines()[2]
    assert head == "*Evidence: demo. All lengths were divided by 15.*"
