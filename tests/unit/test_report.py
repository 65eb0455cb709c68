"""The report holds what was done, proved, kept and lost; as JSON and as Markdown."""

import json

from slipway.checklist import verified
from slipway.markdown import say_age, say_size
from slipway.messages.record import ArtefactState
from slipway.report import checklist_lines, report_data, report_markdown
from slipway.states import Outcome
from slipway.status import status_of
from tests.unit.examples import after, approved_run, artefact, backup, rolled_back_run

INTACT = [
    ArtefactState(key=key, intact=True, because="intact")
    for key in (backup().key, artefact("approval.json").key)
]


def test_markdown_has_every_section() -> None:
    status = verified(status_of(rolled_back_run()), INTACT, after(7260))
    text = report_markdown(status, after(7260))
    for part in (
        "# 2026.11.3 to demo: rolled_back",
        "## Checklist: 2 of 10 done",
        "## Services",
        "## Backup",
        "## Migrations",
        "## Rollback",
        "## People",
        "## Not checked by this version of slipway",
        "## Timeline (UTC)",
        "3 rows written after the backup were lost:",
        "| public.ingestion_events | 3 |",
        "Approved by vera (vp)",
        "stakeholders-notified confirmed by olga",
        "Every artefact was read again",
    ):
        assert part in text


def test_a_checklist_line_shows_artefact_digest_and_age() -> None:
    status = verified(status_of(approved_run()), INTACT, after(7260))
    lines = {
        line.split("] ")[1].split(" · ")[0]: line for line in checklist_lines(status.checklist)
    }
    assert lines["Backup completed"] == (
        f"- [x] Backup completed · by slipway · `{backup().key}` sha256 `444444444444` · 2h old"
    )
    assert lines["Smoke tests passed"] == "- [ ] Smoke tests passed"


def test_a_report_that_could_not_verify_says_so_and_why() -> None:
    text = report_markdown(status_of(approved_run()), None, because="the run goes on")
    assert "The artefacts were NOT read again: the run goes on" in text


def test_demo_overlay_and_compressed_time_are_marked() -> None:
    status = status_of(approved_run()).model_copy(
        update={"marks": ["demo"], "time_scale": 15.0, "overlay": {"metrics.url": "x"}}
    )
    text = report_markdown(status, after(60))
    assert "> Demo: the release's evidence was made for a demonstration." in text
    assert "divided by 15" in text
    assert "changed by an overlay: metrics.url" in text


def test_a_run_without_rollback_has_no_rollback_section() -> None:
    status = status_of(approved_run(outcome=Outcome.DEPLOYED))
    assert "## Rollback" not in report_markdown(status, after(60))


def test_a_rollback_that_restored_nothing_says_no_write_was_lost() -> None:
    status = status_of(rolled_back_run(database=None))
    assert "no write was lost" in report_markdown(status, after(60))


def test_the_json_report_carries_the_whole_status_and_the_sum_of_lost_rows() -> None:
    data = json.loads(json.dumps(report_data(status_of(rolled_back_run()), after(60))))
    assert data["lost_rows"] == 3
    assert data["verified_at"] == "2026-11-23T20:01:00Z"
    assert data["status"]["id"] == status_of(rolled_back_run()).id


def test_ages_and_sizes_read_naturally() -> None:
    assert [say_age(one) for one in (8.4, 125, 3700, 90_000)] == ["8s", "2m5s", "1h1m", "1d1h"]
    assert [say_size(one) for one in (12, 3400, 51_200_000)] == ["12 B", "3.4 KB", "51.2 MB"]
