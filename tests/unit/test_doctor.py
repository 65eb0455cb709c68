"""What `slipway doctor` prints: blocking first, by groups, no line cut, a verdict at the end."""

from slipway.messages.preflight import EnvironmentReport, Finding, StagingReport
from slipway.messages.requests import DoctorResult
from starter.doctor import GROUPS, in_order, lines_of
from starter.render import printable


def result(*findings: Finding, stable: bool = True, because: str = "") -> DoctorResult:
    return DoctorResult(
        environment=EnvironmentReport(findings=list(findings)),
        staging=StagingReport(stable=stable, findings=[], because=because),
    )


def found(severity: str, group: str, what: str, remedy: str = "") -> Finding:
    return Finding.model_validate(
        {"severity": severity, "group": group, "what": what, "remedy": remedy}
    )


def printed(done: DoctorResult, healthy: bool) -> list[str]:
    return lines_of(done, in_order(done.environment.findings), healthy)


def test_blocking_findings_come_first_by_groups_then_notes() -> None:
    done = result(
        found("note", "cluster", "older"),
        found("block", "bucket", "no lock", "Run: x"),
        found("block", "cluster", "no right", "Add: y"),
    )
    lines = printed(done, False)
    assert [line.split()[:3] for line in lines[:3]] == [
        ["✘", "cluster", "no"],
        ["✘", "bucket", "no"],
        ["·", "cluster", "older"],
    ]
    assert "→ Add: y" in lines[0]
    assert lines[3] == "✔ nothing found: database, staging, metrics, worker, addresses"
    assert lines[4].startswith("Not ready: 2 findings are in the way")


def test_all_well_is_two_lines() -> None:
    lines = printed(result(because="Staging is stable."), True)
    assert lines == [
        f"✔ nothing found: {', '.join(GROUPS)}",
        "Ready to deploy. Staging is stable.",
    ]


def test_an_older_workers_sentence_is_told() -> None:
    lines = printed(result(stable=False, because="buddy is down."), False)
    assert lines[-1] == "Not ready: buddy is down."


def test_a_finding_of_an_older_worker_has_no_group() -> None:
    lines = printed(result(found("block", "", "something")), False)
    assert lines[0].startswith("✘ other")
    assert lines[-1].startswith("Not ready: one finding is")


def test_the_line_to_add_is_never_cut_and_steers_no_terminal() -> None:
    statement = "GRANT " + "x" * 900 + ";\x1b[31m"
    (line, *_) = printed(result(found("block", "database", "no right", statement)), False)
    assert "x" * 900 + ";" in printable(line)
    assert "\x1b" not in printable(line)
