"""What generating migrations anew says of a schema: whole, changed, or not to be told."""

import pytest

from slipway.judgements.drift import Generated, judge_generated
from slipway.plan import Migrations

PLAN = Migrations()
UNCHANGED = "9 tables\n\nNo schema changes, nothing to migrate\n"
ASKED = (
    "Reading config file\nError: Interactive prompts require a TTY terminal.\n    at render (x:1)\n"
)


def test_only_the_tools_own_sentence_says_that_nothing_changed() -> None:
    assert judge_generated(Generated(0, UNCHANGED, []), PLAN) == []


def test_a_written_file_is_named_with_its_first_statements() -> None:
    written = [
        ("src/migrations/0002_new.sql", 'ALTER TABLE "reports"\n  ADD COLUMN "summary" text;'),
        ("src/migrations/meta/_journal.json", "{}"),
    ]
    (said,) = judge_generated(Generated(0, UNCHANGED, written), PLAN)
    assert "src/migrations/0002_new.sql" in said
    assert 'ALTER TABLE "reports" ADD COLUMN "summary" text;' in said


def test_a_file_that_is_no_script_counts_too() -> None:
    (said,) = judge_generated(Generated(0, UNCHANGED, [("meta/_journal.json", "{}")]), PLAN)
    assert "meta/_journal.json" in said


@pytest.mark.parametrize(
    ("code", "said", "because"),
    [
        (0, ASKED, "Error: Interactive prompts require a TTY terminal"),
        (0, "", "it printed nothing"),
        (0, "Everything's fine", "Everything's fine"),
        (1, UNCHANGED, "exit code 1"),
    ],
)
def test_what_cannot_be_told_blocks(code: int, said: str, because: str) -> None:
    (sentence,) = judge_generated(Generated(code, said, []), PLAN)
    assert "cannot tell" in sentence
    assert because in sentence
    assert "at render" not in sentence
