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


def test_the_record_says_when_it_came_was_noticed_decided_and_over() -> None:
    record = incident_record(rolled_back_run())
    times = {name: at[11:-1] for name, at in record.items() if name.endswith("_at")}
    assert times == {
        "started_at": "20:00:00",
        "culprit_began_at": "20:02:30",
        "noticed_at": "20:04:40",
        "rollback_began_at": "20:05:00",
        "restored_at": "20:05:14",
        "ended_at": "20:05:20",
    }
    spent = {name: took for name, took in record.items() if name.startswith("seconds_")}
    assert spent == {
        "seconds_to_detect": 130,
        "seconds_to_decide": 20,
        "seconds_to_restore": 14,
        "seconds_to_undo": 20,
        "seconds_affected": 170,
        "seconds_without_writes": 1.5,
    }


def test_the_record_says_how_production_stands_and_how_that_was_verified() -> None:
    record = incident_record(rolled_back_run())
    assert record["production"].startswith("demo is back as it was before 2026.11.3")
    assert record["verified"].startswith("Every service that was put back")


def test_the_record_names_everybody_who_had_a_part() -> None:
    people = incident_record(rolled_back_run())["people"]
    assert [(one["person"], one["did"]) for one in people["parts"]] == [
        ("rita", "asked for the release"),
        ("olga", "confirmed stakeholders-notified"),
        ("vera (vp)", "approved"),
    ]
    assert people["contacts"]["cto"]["name"] == "Olga"


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
    wanted = f"Put back rollout:analytics with: slipway rollback {run.id}; or kubectl"
    assert any(action.startswith(wanted) for action in actions)
    assert "demo is NOT back as it was before 2026.11.3: 1 of 2 changes" in post_mortem(run)


def test_the_post_mortem_has_every_section_in_order() -> None:
    text = post_mortem(rolled_back_run())
    heads = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "Summary",
        "Impact",
        "Trigger",
        "Detection, decision, restoration",
        "Rollback",
        "Evidence",
        "People",
        "What went well",
        "What went badly",
        "Where we were lucky",
        "Actions",
        "Not checked by this version of slipway",
        "Timeline (UTC)",
    ]
    assert "| public.ingestion_events | 3 |" in text
    assert "| vera (vp) | approved | 2026-11-23T20:02:00Z | go |" in text
    assert "| To detect | what was at fault began | it was judged | 2m10s |" in text
    assert "| Without writes | the database was closed | it was open | 1.5s |" in text


def test_what_is_left_to_people_is_little_and_marked() -> None:
    text = post_mortem(rolled_back_run())
    left = [line for line in text.splitlines() if "TODO" in line]
    assert len(left) == 9  # how to find them, five sentences, three dates
    assert left[0] == "> For people to fill in: every line with TODO."


def test_a_run_without_verdict_database_or_timeline_can_be_written_down() -> None:
    run = fresh_run()
    assert incident_record(run)["trigger"]["because"] == "No verdict was recorded."
    assert "No rollback began." in post_mortem(run)


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
    head = post_mortem(run).splitlines()
    assert "> Evidence: demo. All lengths were divided by 15." in head[:9]
