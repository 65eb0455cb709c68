"""Plans and releases from files: what is accepted, and what a refusal says."""

import os
from pathlib import Path

import pytest

from slipway.errors import BadInput
from slipway.plan import Plan
from slipway.release import digest_of
from starter.loading import load_plan, load_release

ROOT = Path(__file__).resolve().parents[2]
PLAN = ROOT / "plans" / "teei-production.yaml"
RELEASE = ROOT / "plans" / "example-release.yaml"
OVERLAY = """
environment: demo
time_scale: 15
kubernetes: { namespace: demo-production }
database: { url: "file:/run/secrets/db", name: teei_demo }
services:
  - { name: analytics, url: "http://127.0.0.1:4001", staging_url: "http://127.0.0.1:4002" }
metrics: { url: "http://127.0.0.1:9090", scrape_interval: 1s }
contacts:
  cto: { name: Kari, reach: "+47 1" }
approvals: { roles: { cto: [kari@teei.com] } }
window: null
"""


def edited(tmp_path: Path, old: str, new: str, source: Path = PLAN) -> Path:
    """Return a copy of a document with one text replaced."""
    text = source.read_text()
    assert old in text
    path = tmp_path / source.name
    path.write_text(text.replace(old, new, 1))
    return path


def refusal(path: Path, overlay: Path | None = None) -> str:
    """Return what loading says, with the temporary folder left out."""
    with pytest.raises(BadInput) as caught:
        load_release(path) if "release" in path.name else load_plan(path, overlay)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("port: 3018", "port: 99999", "services[unified-profile].port (line "),
        ("port: 3018", "port: many", "a valid integer"),
        ("port: 3018", "prot: 3018", "services[unified-profile].prot (line "),
        ("port: 3018", "prot: 3018", "Did you mean `port`?"),
        ("settle: 30s", "settle: half a minute", "write it as 30s, 2m, 1h or 7d"),
        ("settle: 30s", "settle: true", "timings.settle"),
        ("environment: teei-production", "environment: TEEI Production", "Write it as in api-gate"),
        ("environment: teei-production", "environment: 17", "Put quotes around numbers"),
        ("environment: teei-production", "", "environment: it is missing"),
        ("kind: log", "kind: logs", "services[discord-bot].kind"),
        ("    kind: log ", "    kind: http ", "service discord-bot: kind http needs `health`"),
        ("url: env:PROD_DATABASE_URL", "url: postgres://teei:hunter2@db/teei", "never the secret"),
        ("webhook: env:SLIPWAY_WEBHOOK_URL", "webhook: https://u:hunter2@x/y", "notices.webhook"),
        ("- name: buddy\n", "- name: analytics\n", "name given twice: analytics"),
        ('start: "00:00"', "start: 07:30", 'Put quotes around it: "07:30"'),
        ('start: "00:00"', 'start: "7:30"', "window.start"),
        ("error_rate: 0.001", "error_rate: .001", "Put quotes around it"),
        ("error_rate: 0.001", "error_rate: -1", "greater than 0, not -1"),
        ("required: 1", "required: yes", 'Put quotes around it: "yes"'),
        ("required: 1", "required: 0", "approvals.required"),
        ("services:\n", "services: []\nolder:\n", "services"),
        ("service: buddy\n", "service: budy\n", "unknown service budy"),
        ("undo_window: 24h", "undo_window: 24h\n  undo_window: 1h", "gives the key"),
        ("undo_window: 24h", "undo_window: *later", "alias"),
        ("undo_window: 24h", "undo_window: !!float 24", "tag"),
        ("undo_window: 24h", "<<: {undo_window: 24h}", "merges with <<"),
        ("version: 1", "version: 2", "version (line "),
        ("version: 1", "version: 1\noverlay: {time_scale: 15}", "--overlay FILE"),
    ],
)
def test_a_wrong_plan_is_refused_with_place_and_remedy(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    told = refusal(edited(tmp_path, old, new))
    assert said in told
    assert told.startswith("teei-production.yaml")
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('version: "2.4.0"', "version: 2.4", "Put quotes around numbers"),
        ("analytics:2.4.0@sha256:", "analytics:", "a tag alone can be moved"),
        ("requester: engineer@teei.com", "requester: The Engineer", "Write name@team"),
        ("artifact:evidence/junit.xml", "/etc/passwd", "artifact:evidence/junit.xml"),
        ('created_at: "2026-11-23T08:00:00Z"', "created_at: 2026-11-23T08:00:00", "End it in Z"),
        ("{ number: CHG-2041 }", "{}", "`not_required` with a reason"),
        ("{ number: CHG-2041 }", "{number: A, not_required: b}", "give either `number`"),
        ("summary: Report", "sumary: Report", "Did you mean `summary`?"),
        ("marks: []", "marks: [approved]", "marks[0]"),
    ],
)
def test_a_wrong_release_is_refused_with_place_and_remedy(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    told = refusal(edited(tmp_path, old, new, RELEASE))
    assert said in told
    assert told.startswith("example-release.yaml")


def test_several_mistakes_are_told_together(tmp_path: Path) -> None:
    path = edited(tmp_path, "port: 3018", "port: 0")
    path.write_text(path.read_text().replace("port: 3019", "port: 0"))
    told = refusal(path)
    assert "2 things are wrong" in told
    assert "services[unified-profile].port" in told
    assert "services[buddy].port" in told


def test_plan_and_release_exchanged_are_told_by_one_sentence() -> None:
    with pytest.raises(BadInput, match="it is a release, and a plan is expected here"):
        load_plan(RELEASE, None)
    with pytest.raises(BadInput, match="it is a plan, and a release is expected here"):
        load_release(PLAN)


def test_an_overlay_changes_addresses_and_is_remembered(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(OVERLAY)
    plan, before = load_plan(PLAN, overlay), load_plan(PLAN)
    assert plan.service("analytics").url == "http://127.0.0.1:4001"
    assert plan.service("analytics").critical == before.service("analytics").critical
    assert [one.name for one in plan.services] == [one.name for one in before.services]
    assert plan.database.name == "teei_demo"
    assert plan.database.owner == before.database.owner
    assert plan.contacts.cto.name == "Kari"
    assert plan.contacts.on_call == before.contacts.on_call
    assert plan.approvals.roles["vp"] == before.approvals.roles["vp"]
    assert plan.window is None
    assert plan.overlay["services.analytics.url"] == "http://127.0.0.1:4001"
    assert plan.overlay["time_scale"] == 15
    assert plan.overlay["contacts.cto.reach"] == "+47 1"
    assert set(before.overlay) == set()
    changed = plan.model_copy(update={"overlay": {}})
    assert changed.timings == before.timings
    assert changed.limits == before.limits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timings: { settle: 1s }", "timings may not be changed"),
        ("limits: { error_rate: 0.5 }", "limits may not be changed"),
        ("staging: { soak: 1s }", "staging.soak may not be changed"),
        ("approvals: { required: 1 }", "approvals.required may not be changed"),
        ("gates: {}", "gates may not be changed"),
        ("services: [{ name: analytics, critical: [] }]", "services.analytics.critical may not"),
        ("services: [{ name: analytic, url: 'http://x' }]", "no service of the plan"),
        ("services: [{ url: 'http://x' }]", "no service of the plan"),
        ("services: nothing", "no service of the plan"),
        ("backup: null", "backup may not be changed"),
        ("time_scale: 0.5", "time_scale"),
        ("metrics: { url: 17 }", "metrics.url"),
        ("database: { url: 'postgres://a:hunter2@b/c' }", "never the secret"),
        ("- a list", "no mapping"),
        ("", "empty"),
    ],
)
def test_an_overlay_may_change_nothing_else(tmp_path: Path, text: str, said: str) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(text)
    told = refusal(PLAN, overlay)
    assert said in told
    assert "hunter2" not in told


@pytest.mark.parametrize("name", ["absent.yaml", ".", "fifo"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "fifo":
        os.mkfifo(path)
    with pytest.raises(BadInput, match=r"cannot be read|not a regular file"):
        load_plan(path)


def test_a_parsed_plan_survives_the_journey_as_json() -> None:
    plan, release = load_plan(PLAN), load_release(RELEASE)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert type(release).model_validate_json(release.model_dump_json()) == release
    assert all(digest_of(image) for image in release.images.values())


@pytest.mark.parametrize("digest", ["0b25" + "f8bb" * 15, "0d" * 32, "0b" + "0f" * 31])
def test_a_digest_is_a_text_whatever_it_begins_with(tmp_path: Path, digest: str) -> None:
    line = next(one for one in RELEASE.read_text().splitlines() if "journal_sha256" in one)
    changed = edited(tmp_path, line, f"  journal_sha256: {digest}", RELEASE)
    assert load_release(changed).migrations.journal_sha256 == digest
