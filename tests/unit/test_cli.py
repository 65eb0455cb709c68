"""The command line without a server: help, exit codes, one clear sentence for each refusal."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.service import RPCError, RPCStatusCode
from typer.testing import CliRunner, Result

from slipway.errors import BadInput, Unreachable
from slipway.messages.controls import Approve
from slipway.messages.migration import MigrationFinding
from slipway.messages.rehearsal import Rehearsal
from slipway.states import Choice
from slipway.subject import subject_of
from starter import arguments, cli_backups, cli_observe, cli_people
from starter.cli import app
from starter.cli_people import Decision
from starter.failures import explain_failure
from starter.guard import Stop
from starter.lookup import is_id
from starter.people import subject_lines
from tests.unit.examples import ID, after, approved_run, plan, release

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *("check", "doctor", "start", "status", "why", "watch", "report"),
    *("approve", "reject", "acknowledge", "resolve", "pause", "resume", "abort", "rollback"),
    *("backups", "observe"),
)
cli_people.register(app)
cli_backups.register(app)
cli_observe.register(app)


def slipway(*arguments: str, **environment: str) -> Result:
    """Run the command line in this process, without a terminal."""
    return CliRunner().invoke(app, arguments, env=environment, prog_name="slipway")


def _write(folder: Path, **plan_changes: Any) -> tuple[str, str]:
    documents = {"plan": plan(**plan_changes), "release": release()}
    paths = []
    for name, document in documents.items():
        data = document.model_dump(mode="json", exclude_unset=True)
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data))
        paths.append(str(path))
    return paths[0], paths[1]


def _closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def test_help_names_every_command_and_exit_code() -> None:
    done = slipway("--help")
    assert done.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout
    assert "8 a server" in done.stdout


def test_help_loads_neither_temporal_nor_pydantic() -> None:
    code = (
        "import sys\nfrom starter.cli import main\n"
        "sys.argv = ['slipway', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print({'temporalio', 'pydantic', 'rich', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = slipway(command, "--help")
    assert done.exit_code == 0
    assert f"slipway {command} " in done.stdout
    assert "Example:" in done.stdout


@pytest.mark.parametrize("command", ["list", "verify", "restore-to", "tidy"])
def test_every_command_about_backups_has_help_with_an_example(command: str) -> None:
    done = slipway("backups", command, "--help")
    assert done.exit_code == 0
    assert "Example:" in done.stdout
    assert done.stdout.count(f"slipway backups {command} ") == 2  # usage and example
    assert "--json" in done.stdout


@pytest.mark.parametrize("name", ["Teei", "a b", "1a", "x" * 64, 'a"; DROP DATABASE teei', "a\n"])
def test_a_name_no_database_can_have_is_refused_before_any_work(name: str) -> None:
    done = slipway("backups", "restore-to", name, "--from", ID, TEMPORAL_ADDRESS=_closed_port())
    assert done.exit_code == 2
    assert "cannot name the new database" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--summary", "--stop"), "--summary and --stop cannot be asked for at once"),
        (("--label", "analytics-1", "fine", "--because", "x"), "'fine' is no label"),
        (("--label", "analytics-1", "bad"), "Add --because WHY."),
    ],
)
def test_what_cannot_be_asked_of_an_observer_is_refused_before_any_work(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    plan_file, _ = _write(tmp_path)
    done = slipway("observe", plan_file, *options, TEMPORAL_ADDRESS=_closed_port())
    assert done.exit_code == 2
    assert said in done.stderr


def test_compressed_time_is_observed_on_this_machine_alone(tmp_path: Path) -> None:
    plan_file, _ = _write(tmp_path, time_scale=15, metrics={"url": "http://metrics.example"})
    done = slipway("observe", plan_file, TEMPORAL_ADDRESS=_closed_port())
    assert done.exit_code == 2
    assert "metrics.url" in done.stderr


@pytest.mark.parametrize("form", ["markdown", "html", "json"])
def test_a_report_into_a_folder_that_is_not_there_is_refused_before_any_work(
    form: str, tmp_path: Path
) -> None:
    target = str(tmp_path / "none" / "report")
    done = slipway("report", "demo", "--format", form, "--output", target)
    assert done.exit_code == 2
    assert "its folder does not exist. Choose another --output." in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_plan_that_is_not_there_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    done = slipway("check", str(tmp_path / "none.yaml"), str(tmp_path / "none.yaml"))
    assert done.exit_code == 2
    assert "none.yaml" in done.stderr
    assert "Check the path." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_release_names_place_and_remedy(tmp_path: Path) -> None:
    plan_file, release_file = _write(tmp_path)
    text = Path(release_file).read_text().replace("version:", "versoin:", 1)
    Path(release_file).write_text(text)
    done = slipway("start", plan_file, release_file)
    assert done.exit_code == 2
    assert "versoin" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_prints_sequence_floor_and_who_must_approve(tmp_path: Path) -> None:
    done = slipway("check", *_write(tmp_path))
    assert "Deploy analytics" in done.stdout
    assert "Approve: 1 of carl (cto), vera (vp)" in done.stdout
    assert "Floor: " in done.stdout
    assert "A rollback would:" in done.stdout


def test_check_as_json_exits_by_its_findings(tmp_path: Path) -> None:
    placeholder = {"name": "[Contact Info]", "reach": "[Contact Info]"}
    contacts = dict.fromkeys(("on_call", "vp_engineering", "cto", "database_admin"), placeholder)
    done = slipway("check", *_write(tmp_path, contacts=contacts), "--json")
    findings = json.loads(done.stdout)["findings"]
    assert done.exit_code == 2
    assert any("contacts" in one["place"] for one in findings)


def test_start_refuses_what_check_forbids_before_it_looks_for_a_server(tmp_path: Path) -> None:
    placeholder = {"name": "TODO", "reach": "TODO"}
    contacts = dict.fromkeys(("on_call", "vp_engineering", "cto", "database_admin"), placeholder)
    files = _write(tmp_path, contacts=contacts)
    done = slipway("start", *files, TEMPORAL_ADDRESS=_closed_port())
    assert done.exit_code == 2
    assert "The check forbids a start." in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "production"),
        ("why", ID),
        ("abort", ID),
        ("report", ID),
        ("backups", "list", "production"),
        ("backups", "restore-to", "drill", "--from", ID),
    ],
)
def test_a_dead_server_is_one_sentence_and_exit_8(arguments: tuple[str, ...]) -> None:
    address = _closed_port()
    done = slipway(*arguments, TEMPORAL_ADDRESS=address)
    assert done.exit_code == 8
    assert f"The Temporal server cannot be reached: {address}" in done.stderr
    assert "Check TEMPORAL_ADDRESS" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_configuration_file_that_cannot_be_read_is_exit_8(tmp_path: Path) -> None:
    broken = tmp_path / "temporal.toml"
    broken.write_text("this is = not [toml")
    done = slipway("status", "production", TEMPORAL_CONFIG_FILE=str(broken))
    assert done.exit_code == 8
    assert "configuration cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_or_option_is_exit_2() -> None:
    assert slipway("fly").exit_code == 2
    assert slipway("status").exit_code == 2
    assert slipway("resolve", "production", "maybe").exit_code == 2


def test_names_are_ids_or_environments_or_refused() -> None:
    assert is_id(ID)
    assert not is_id("production")
    for bad in ("Production", "a' OR 1=1", "", "x" * 80, f"{ID}\n"):
        with pytest.raises(Stop) as stopped:
            is_id(bad)
        assert stopped.value.code == 2


def test_failures_become_exit_codes_and_sentences() -> None:
    assert explain_failure(BadInput("Wrong.", "Do right.")) == (2, "Wrong. Do right.")
    assert explain_failure(Unreachable("No answer.", "Look.")) == (8, "No answer. Look.")
    assert explain_failure(ZeroDivisionError()) is None


def test_a_server_that_dies_in_the_middle_of_a_call_cannot_be_reached() -> None:
    def told(text: str, status: RPCStatusCode) -> int:
        explained = explain_failure(RPCError(text, status, b""))
        return explained[0] if explained else -1

    assert told("tcp connect error", RPCStatusCode.UNAVAILABLE) == 8
    assert told("transport error", RPCStatusCode.UNKNOWN) == 8
    changed = "Current and request branch tokens, or … versioned transitions, don't match."
    assert told(changed, RPCStatusCode.INVALID_ARGUMENT) == 8
    assert told("unknown query", RPCStatusCode.INVALID_ARGUMENT) == 2


def test_a_value_that_does_not_fit_a_message_names_it() -> None:
    with pytest.raises(ValueError, match="person") as raised:
        Approve(request="r", person="no blanks allowed", role="vp", digest="a" * 64)
    explained = explain_failure(raised.value)
    assert explained is not None
    assert explained[0] == 2
    assert explained[1].startswith("person: ")


def test_every_choice_of_the_domain_can_be_typed() -> None:
    assert {one.value for one in Decision} == {one.value for one in Choice}
    assert {one.value for one in arguments.Form} == {"markdown", "html", "json"}


def test_an_approver_sees_digest_images_backup_and_what_is_not_checked() -> None:
    text = "\n".join(subject_lines(subject_of(approved_run())))
    assert "Digest: " + "a" * 64 in text
    assert "asked by rita" in text
    assert "Backup: demo/prod-backup" in text
    assert "Not checked: Approvals are claims" in text
    assert "Image analytics: registry.example/analytics@sha256:" in text


def test_an_approver_sees_the_rehearsal_and_what_needs_a_word() -> None:
    found = [
        MigrationFinding(
            rule="drop-column", severity="block", about="users", what="users loses mail.",
            remedy="Make sure.",
        ),
        MigrationFinding(rule="locks-reads", severity="block", about="users", what="It is held."),
        MigrationFinding(rule="adds-rows", severity="note", about="t", what="t gets rows."),
    ]  # fmt: skip
    seen = Rehearsal(
        backup_key="k",
        taken_at=after(60),
        seconds=4.2,
        findings=found,
        schema_diff="+    mail text",
    )
    lines = subject_lines(subject_of(approved_run(rehearsal=seen)))
    assert "  Needs --accept drop-column: users loses mail. Make sure." in lines
    assert "  Know: It is held." in lines
    assert "    +    mail text" in lines
    assert any("Rehearsal: The pending migrations ran on the backup" in one for one in lines)
    assert not any("Know: t gets rows." in one for one in lines)
