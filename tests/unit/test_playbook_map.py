"""Every line of the playbook is mapped to code or a person, and what the map names exists."""

import html
import re
from pathlib import Path

import pytest

from starter.cli import app
from starter.cli_people import register

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = (ROOT / "docs" / "playbook.md").read_text().split("\n")
TEXT = (ROOT / "docs" / "playbook-map.md").read_text()
ROW = re.compile(r"^\| (\d+) \| (.*?) (?<!\\)\| (slipway|person|text) (?<!\\)\| (.+) \|$")
PATH = re.compile(r"`((?:slipway|workflows|activities|starter|worker|plans|docs|deploy)/[^`]+)`")
PEOPLE = ("VP Engineering", "CTO", "On-Call Engineer", "release manager", "requester", "contacts")
FRAME = re.compile(
    r"^(---$|#{1,4} |```|>|status: |last_verified: |\| Service \||\|-|\*\*After each service:\*\*$"
    r"|Test critical user flows:$|Rollback immediately if:$)"
)
REPLACED = (
    "pg_dump ",
    "ls -lh ",
    "pg_restore --list ",
    "aws s3 cp ",
    "__drizzle_migrations",
    "db:generate",
    "export DATABASE_URL",
    "kubectl rollout undo",
    "psql $PROD_DATABASE_URL <",
    "SELECT COUNT(*)",
    "Check Grafana dashboards",
)


def rows() -> dict[int, tuple[str, str, str]]:
    """Return the map: line number to text, who, how."""
    found: dict[int, tuple[str, str, str]] = {}
    for line in TEXT.split("\n"):
        match = ROW.match(line)
        if match:
            number, said, who, how = match.groups()
            assert int(number) not in found, f"line {number} is mapped twice"
            text = html.unescape(said.replace("\\|", "|").replace("\\`", "`"))
            found[int(number)] = (text, who, how)
    return found


MAP = rows()
LINES = [(number, text) for number, text in enumerate(PLAYBOOK, start=1) if text.strip()]


def test_every_line_of_the_playbook_is_mapped_as_it_stands() -> None:
    assert {number: text for number, (text, _, _) in MAP.items()} == dict(LINES)


def test_every_row_of_the_table_was_understood() -> None:
    assert len(re.findall(r"^\| \d+ \|", TEXT, re.M)) == len(MAP)


@pytest.mark.parametrize("path", sorted(set(PATH.findall(TEXT))))
def test_a_path_the_map_names_exists(path: str) -> None:
    assert (ROOT / path).is_file(), f"docs/playbook-map.md names {path}, which does not exist"


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`slipway ([a-z-]+)`", TEXT))))
def test_a_command_the_map_names_exists(command: str) -> None:
    """Not by `main`: where Temporal is loaded it ends the whole process, these tests included."""
    register(app)
    with pytest.raises(SystemExit) as ended:
        app([command, "--help"], prog_name="slipway")
    assert ended.value.code == 0


@pytest.mark.parametrize(("number", "text"), LINES)
def test_a_line_is_done_by_code_or_by_a_named_person(number: int, text: str) -> None:
    _, who, how = MAP[number]
    if who == "text":
        assert FRAME.match(text), f"line {number} asks for something: {text}"
    elif who == "person":
        assert any(name in how for name in PEOPLE), f"line {number}: nobody is named"
    else:
        assert PATH.search(how), f"line {number}: no code is named"


@pytest.mark.parametrize(
    ("number", "text"), [(n, t) for n, t in LINES if any(one in t for one in REPLACED)]
)
def test_a_command_that_is_not_run_as_written_says_why(number: int, text: str) -> None:
    """The heading comments of the shell blocks are no commands."""
    said = MAP[number][2]
    assert "Replaced" in said or text.startswith("# Check"), f"line {number}: {text}"
