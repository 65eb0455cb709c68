"""The report holds what was done, proved, kept and lost; as data and as Markdown."""

import json

import pytest

from slipway.account import people_of
from slipway.checklist import verified
from slipway.markdown import say_age, say_size
from slipway.messages.aftercare import AftercareState, Look
from slipway.messages.record import ArtefactState
from slipway.messages.rehearsal import Rehearsal
from slipway.report import Findings, report_data, report_html, report_markdown
from slipway.run import Event, Run
from slipway.standing import production_now
from slipway.states import MigrationState, Outcome, Phase, ServiceState, UndoState
from slipway.status import status_of
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.unit.examples import (
    ID,
    after,
    approved_run,
    artefact,
    backup,
    fresh_run,
    rolled_back_run,
)

INTACT = [
    ArtefactState(key=key, intact=True, because="intact")
    for key in (backup().key, artefact("approval.json").key)
]


def seen(run: Run, **more: object) -> Findings:
    """Return the findings of a run whose artefacts were verified two hours later."""
    status = verified(status_of(run), INTACT, after(7260))
    return Findings.model_validate({"status": status, "verified_at": after(7260), **more})


def section(text: str, title: str) -> str:
    """Return a section of Markdown."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_markdown_has_every_section_the_rollback_first() -> None:
    text = report_markdown(seen(rolled_back_run()))
    heads = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "Summary",
        "Rollback",
        "Checklist: 2 of 10 done",
        "Services",
        "The run over time",
        "Backup",
        "Migrations",
        "People",
        "Not checked by this version of slipway",
        "Timeline (UTC)",
    ]
    assert text.startswith("# 2026.11.3 to demo: rolled back\n\n**demo is back as it was before")
    assert "Every artefact was read again" in text


def test_a_rollback_tells_what_was_undone_lost_and_how_it_was_verified() -> None:
    text = section(report_markdown(seen(rolled_back_run())), "Rollback")
    for part in (
        "Why: ErrorRateTooHigh. analytics failed 31 of 1,020 requests",
        "| rollout:analytics | done | 2 of 2 |",
        "Nothing is left to undo.",
        "3 rows written after the backup. The database that was swapped out is kept as `teei_bad`.",
        "| public.ingestion_events | 3 |",
        "From the decision (2026-11-23T20:05:00Z) until the end (2026-11-23T20:05:20Z): 20s.",
        "Users may have been affected for 2m50s: since 2026-11-23T20:02:30Z",
        "Writes were refused for 1.5s",
        "its critical functions again. The smoke flows passed. Schema and rows of the database",
        "`demo/records/incident.json`",
    ):
        assert part in text, part


def test_what_was_not_undone_stands_there_with_the_way_to_do_it() -> None:
    run = rolled_back_run(outcome=Outcome.ROLLBACK_INCOMPLETE)
    run.undo[1].state, run.undo[1].because = UndoState.FAILED, "0 of 2 pods are ready"
    run.undo[0].state = UndoState.FAILED
    for text in (report_markdown(seen(run)), report_html(seen(run))):
        assert f"slipway rollback {ID}" in text
        assert "rollout:analytics (failed): 0 of 2 pods are ready" in text
        assert "kubectl --namespace demo set image deployment/analytics app=" in text
        assert "swap teei for teei_slipway_1a2b3c_1, the restored backup" in text
    data = report_data(seen(run))["rollback"]
    assert [one["step"] for one in data["not_undone"]] == ["rollout:analytics", "migrate"]
    assert data["undone"] == []


def test_a_database_left_as_it_is_counts_as_not_undone() -> None:
    run = rolled_back_run(database=None)
    run.undo[0].state = UndoState.LEFT
    run.undo[0].because = "left as it is, by the plan, by request or by a person's decision"
    text = report_markdown(seen(run))
    assert "its data is not: 1 service serves the former image again" in text
    assert "migrate (left): left as it is, by the plan" in section(text, "Rollback")
    assert "Schema and" not in section(text, "Rollback")


def test_an_undo_that_was_not_reached_says_so_while_the_rollback_runs() -> None:
    run = rolled_back_run(outcome=Outcome.RUNNING, phase=Phase.ROLL_BACK, database=None)
    run.undo[0].state = UndoState.READY
    text = report_markdown(Findings(status=status_of(run), because="it runs"))
    assert "demo is being put back as it was before 2026.11.3: 1 of 2 changes undone" in text
    assert "migrate (ready): not reached" in text
    assert "Verified: Not yet." in text


def standing(run: Run, *, cut_off: bool = False) -> str:
    return production_now(status_of(run), cut_off=cut_off)


def test_the_first_sentence_says_how_production_stands_for_every_outcome() -> None:
    said = {
        outcome: standing(rolled_back_run(outcome=outcome))
        for outcome in (Outcome.ROLLED_BACK, Outcome.ROLLBACK_INCOMPLETE)
    }
    said |= {one: standing(approved_run(outcome=one)) for one in Outcome if one not in said}
    assert set(said) == set(Outcome)
    assert all(one.startswith("demo ") for one in said.values())
    for outcome in (Outcome.REJECTED, Outcome.EXPIRED, Outcome.STOPPED):
        assert said[outcome].startswith("demo was not changed: 2026.11.3 ")
    assert said[Outcome.RUNNING] == "demo is not changed so far: 2026.11.3 is in phase go."
    assert said[Outcome.DEPLOYED].startswith("demo runs 2026.11.3: 2 services replaced")


def test_a_run_in_the_middle_counts_what_is_new() -> None:
    run = rolled_back_run(outcome=Outcome.RUNNING, phase=Phase.ROLL_OUT)
    run.step, run.reason = "settle:analytics", "Watching all services 30s."
    text = report_markdown(Findings(status=status_of(run), because="it runs"))
    assert "- Now: settle:analytics: Watching all services 30s." in text
    run.services[0].state = ServiceState.DEPLOYED
    run.services[1].state = ServiceState.ROLLING_OUT
    run.migrations[0].state = MigrationState.APPLIED
    assert standing(run) == (
        "demo stands between two releases. 1 migration(s) are applied. 1 of 2 services run "
        "2026.11.3, analytics is being changed."
    )


def test_a_run_that_was_cut_off_names_what_it_had_begun() -> None:
    run = rolled_back_run(outcome=Outcome.RUNNING)
    for one in run.undo:
        one.state = UndoState.READY
    assert "2 changes (migrate, rollout:analytics)" in standing(run, cut_off=True)
    assert "was not changed as far as" in standing(fresh_run(), cut_off=True)
    text = report_markdown(seen(run, cut_off=True, note="Temporal ended it as TERMINATED."))
    assert text.startswith("# 2026.11.3 to demo: cut off\n")
    assert "> Temporal ended it as TERMINATED." in text
    assert "The run goes on" not in text


def test_everything_put_back_and_still_broken_is_said() -> None:
    run = rolled_back_run(outcome=Outcome.ROLLBACK_INCOMPLETE)
    found = "After putting everything back: login fails with 500."
    run.timeline.append(Event(at=after(330), phase=Phase.ROLL_BACK, text=found))
    assert standing(run).endswith("every change was put back, but login fails with 500.")
    assert "Checked, and not as before: login fails with 500." in report_markdown(seen(run))


@pytest.mark.parametrize(("lost", "words"), [(0, "no row is lost"), (1, "1 row written since is")])
def test_lost_rows_are_counted_in_words(lost: int, words: str) -> None:
    run = rolled_back_run()
    assert run.database is not None
    table = run.database.lost[0].model_copy(update={"rows": lost})
    run.database = run.database.model_copy(update={"lost": [table]})
    assert words in standing(run)


def test_people_stand_with_what_they_did_and_said_in_order_of_time() -> None:
    run = rolled_back_run()
    run.verdict = run.verdict.model_copy(  # type: ignore[union-attr] # this run has a verdict
        update={"reason": Reason.ROLLBACK_REQUESTED, "because": "olga: reports: all wrong"}
    )
    run.timeline.insert(
        10, Event(at=after(290), phase=Phase.ROLL_OUT, text="monitor:a: skip, fine", by="olga")
    )
    rows = section(report_markdown(seen(run)), "People").strip().splitlines()[2:]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| rita", "asked for the release"],
        ["| olga", "confirmed stakeholders-notified"],
        ["| vera (vp)", "approved"],
        ["| olga", "decided skip for monitor:a"],
        ["| olga", "asked for the rollback"],
    ]
    assert rows[-1].endswith("| reports: all wrong |")


def test_an_abort_before_any_change_names_who_asked_for_it_once() -> None:
    because = "olga: wrong release"
    run = approved_run(outcome=Outcome.STOPPED)
    run.verdict = Verdict(
        kind=Kind.ROLLBACK, signal=Signal.ROLLOUT, reason=Reason.ABORTED, because=because
    )
    (part,) = (one for one in people_of(status_of(run)) if one.did == "aborted it")
    assert (part.person, part.said, part.at) == ("olga", "wrong release", after(120))
    told = Event(at=after(119), phase=Phase.GO, text="abort: wrong release", by="olga")
    run.timeline.append(told)
    parts = [(one.did, one.said) for one in people_of(status_of(run)) if one.at >= after(119)]
    assert parts == [("abort", "wrong release"), ("approved", "go")]


def test_a_checklist_line_shows_artefact_digest_and_age() -> None:
    run = approved_run()
    kept = "p/records/demo/x/artefacts/approval.json"
    run.checklist[0].artefacts = [artefact("approval.json").model_copy(update={"key": kept})]
    status = verified(
        status_of(run),
        [INTACT[0], ArtefactState(key=kept, intact=True, because="intact")],
        after(7260),
    )
    text = report_markdown(Findings(status=status, verified_at=after(7260)))
    assert (
        f"- [x] Backup completed · by slipway · `{backup().key}` sha256 `444444444444` · 2h old"
    ) in text
    assert "- [x] Approval received · by vera (vp) · `approval.json` sha256 `666666666666`" in text
    assert "- [ ] Smoke tests passed\n" in text
    assert "Artefacts are kept below `p/records/demo/x/artefacts/`" in text


def test_a_line_whose_proof_is_gone_is_marked_in_every_form() -> None:
    status = verified(status_of(approved_run()), INTACT[:1], after(60))
    found = Findings(status=status, verified_at=after(60))
    assert "- [!] Approval received" in report_markdown(found)
    assert "</span> missing</td>" in report_html(found)
    assert report_data(found)["checklist"] == "1 of 10 done"


def test_a_report_that_could_not_verify_says_so_and_why() -> None:
    found = Findings(status=status_of(approved_run()), because="the run goes on")
    assert "The artefacts were NOT read again: the run goes on" in report_markdown(found)


def test_demo_overlay_and_compressed_time_are_marked() -> None:
    marks = {"marks": ["demo"], "time_scale": 15.0, "overlay": {"metrics.url": "x"}}
    status = status_of(approved_run()).model_copy(update=marks)
    text = report_markdown(Findings(status=status))
    assert "> Demo: the release's evidence was made for a demonstration." in text
    assert "divided by 15" in text
    assert "changed by an overlay: metrics.url" in text
    many = {f"services.s{number}.url": "x" for number in range(9)}
    status = status.model_copy(update={"overlay": many})
    assert "an overlay: 9 values of services." in report_markdown(Findings(status=status))


def test_a_run_without_rollback_shows_what_one_would_undo() -> None:
    run = rolled_back_run(outcome=Outcome.DEPLOYED)
    run.timeline = run.timeline[:8]
    text = report_markdown(seen(run))
    assert "## Rollback" not in text
    assert "What a rollback would undo, newest change first" in section(text, "Undo")


def test_a_rollback_that_restored_nothing_says_nothing_was_lost() -> None:
    text = report_markdown(seen(rolled_back_run(database=None)))
    assert "Nothing: the database was not restored." in text
    assert "the database was proved unchanged." in text
    assert "The rollback did not refuse writes." in text


def test_aftercare_shows_its_trouble_and_what_people_owe() -> None:
    looks = [
        Look(at=after(400), kind="health", healthy=False, because="buddy answers 503"),
        Look(at=after(500), kind="errors", healthy=True, because="all well"),
    ]
    care = AftercareState(deployment=ID, phase="first day", looks=looks, items={"bugs": "open"})
    text = section(report_markdown(seen(approved_run(), aftercare=care)), "Aftercare")
    assert "2 looks, 1 of them found trouble" in text
    assert "| trouble | buddy answers 503 |" in text
    assert "| well | all well |" in text
    assert "- bugs: open" in text


def test_the_report_as_data_carries_everything() -> None:
    data = json.loads(json.dumps(report_data(seen(rolled_back_run()))))
    assert data["lost_rows"] == 3
    assert data["verified_at"] == "2026-11-23T22:01:00Z"
    assert data["status"]["id"] == ID
    assert data["production"].startswith("demo is back")
    assert data["rollback"]["write_outage"] == 1.5
    assert data["rollback"]["seconds_spent"] == {
        "to_detect": 130,
        "to_decide": 20,
        "to_restore": 14,
        "affected": 170,
    }
    assert data["people"][0]["person"] == "rita"
    assert report_data(seen(approved_run()))["rollback"] is None


def test_ages_and_sizes_read_naturally() -> None:
    assert [say_age(one) for one in (8.4, 125, 3700, 90_000)] == ["8s", "2m5s", "1h1m", "1d1h"]
    assert [say_size(one) for one in (12, 3400, 51_200_000)] == ["12 B", "3.4 KB", "51.2 MB"]


def test_what_the_rehearsal_saw_stands_with_the_migrations() -> None:
    rehearsal = Rehearsal(backup_key="k", taken_at=after(60), error="", seconds=4.2)
    text = report_markdown(Findings(status=status_of(approved_run(rehearsal=rehearsal))))
    assert "Rehearsed on the restored backup" in text
    assert "ran on the backup of" in text
    assert "Rehearsed on the restored backup" not in report_markdown(
        Findings(status=status_of(approved_run()))
    )
