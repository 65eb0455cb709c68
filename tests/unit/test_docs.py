"""What the documents say is there: links lead somewhere, commands exist, reasons have pages."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from slipway.verdicts import Reason
from starter import cli, cli_backups, cli_observe, cli_people

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"docs/playbook.md", "docs/playbook-map.md"}
"""The specification and its map, which has a test of its own."""
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if path.relative_to(ROOT).as_posix() not in GIVEN
)
RUNBOOKS = ROOT / "docs" / "runbooks"
REASONS = [one for one in Reason if one is not Reason.OK]
SECTIONS = ("What it means", "What slipway did", "Look at", "What to do")

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
PATH = re.compile(
    r"`((?:slipway|workflows|activities|starter|worker|plans|docs|deploy|devstack|tests|benchmarks"
    r"|\.ci)/[A-Za-z0-9_./-]*[A-Za-z0-9_/])`"
)
SHELL = {"sh", "console"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text())


def commands(path: Path) -> list[str]:
    """Return every call of slipway in the document's shell blocks, continuations joined."""
    found = []
    for language, text in FENCE.findall(path.read_text()):
        if language not in SHELL:
            continue
        for line in text.replace("\\\n", " ").splitlines():
            call = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if call.startswith("slipway "):
                found.append(call)
    return found


def anchors(path: Path) -> set[str]:
    """Return what headings can be linked to, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_the_documents_are_found() -> None:
    names = {named(path) for path in DOCUMENTS}

    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= names


@pytest.mark.parametrize("reason", REASONS, ids=str)
def test_every_reason_has_a_runbook(reason: Reason) -> None:
    text = (RUNBOOKS / f"{reason.value}.md").read_text()

    assert text.startswith(f"# {reason.value}\n")
    assert [one for one in SECTIONS if f"\n## {one}\n" not in text] == []
    assert f"({reason.value}.md)" in (RUNBOOKS / "README.md").read_text()


def test_no_runbook_is_left_over() -> None:
    names = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}

    assert names == {one.value for one in REASONS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    wrong = []
    for link in LINK.findall(prose(path)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)

    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_files_that_are_named_are_there(path: Path) -> None:
    named_files = set(PATH.findall(prose(path)))

    assert [one for one in sorted(named_files) if not (ROOT / one).exists()] == []


@pytest.fixture(scope="module")
def known_commands() -> dict[str, set[str]]:
    """The options of each command."""
    app = typer.Typer()
    app.registered_commands += cli.app.registered_commands
    cli_people.register(app)
    cli_observe.register(app)
    group: Any = typer.main.get_command(app)
    group.commands |= {
        f"backups {name}": one
        for name, one in typer.main.get_command(cli_backups.backups).commands.items()  # type: ignore[attr-defined] # it is a group
    }
    return {
        name: {"--help", *(one for option in command.params for one in option.opts)}
        for name, command in group.commands.items()
    }


@pytest.mark.parametrize("path", [one for one in DOCUMENTS if commands(one)], ids=named)
def test_commands_and_options_exist(path: Path, known_commands: dict[str, set[str]]) -> None:
    wrong = []
    for call in commands(path):
        _, name, *rest = shlex.split(call, comments=True)
        if name == "backups":
            name = f"backups {rest.pop(0)}"
        options = {one.partition("=")[0] for one in rest if one.startswith("--")}
        if name != "--help" and (name not in known_commands or options - known_commands[name]):
            wrong.append(call)

    assert wrong == []


def test_decisions_about_parked_steps_are_possible_ones() -> None:
    calls = [shlex.split(call, comments=True) for path in DOCUMENTS for call in commands(path)]
    decided = {call[3] for call in calls if call[1] == "resolve" and call[2] != "--help"}

    assert decided
    assert decided <= {one.value for one in cli_people.Decision}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_no_path_of_one_machine(path: Path) -> None:
    assert re.findall(r"/(?:root|work|home)/\w+", path.read_text()) == []


def test_the_privileged_worker_alone_has_what_the_plan_refers_to() -> None:
    plan = yaml.safe_load((ROOT / "plans" / "teei-production.yaml").read_text())
    wanted = set(re.findall(r"\benv:([A-Z][A-Z0-9_]*)", repr(plan)))
    documents = yaml.safe_load_all((ROOT / "deploy" / "k8s" / "worker.yaml").read_text())
    given = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]
        for one in documents
        if one["kind"] == "Deployment"
    }
    secrets = {
        name: {one["name"] for one in container["env"] if "secretKeyRef" in one["valueFrom"]}
        for name, container in given.items()
    }

    assert secrets["slipway-workflow"] == {"SLIPWAY_WEBHOOK_URL"}
    assert secrets["slipway-privileged"] == wanted - {"SLIPWAY_WEBHOOK_URL"}
    assert {name: one["args"][-1] for name, one in given.items()} == {
        "slipway-workflow": "workflow",
        "slipway-privileged": "privileged",
    }
