"""What a linter's findings mean here, and what no linter finds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import BadInput
from slipway.judgements.lint import _RULES, IGNORED, WANTED, lint_findings, parse_linted
from slipway.judgements.unguarded import unguarded
from slipway.plan import EXPLICIT


def printed(*rules: str) -> str:
    """Return what the linter prints for these rules."""
    return json.dumps(
        [{"file": "a", "line": 3, "level": "Warning", "rule_name": one, "message": "m"}
         for one in rules]
    )  # fmt: skip


def found(sql: str, *rules: str) -> dict[str, str]:
    """Return the findings about a migration: rule to severity."""
    return {
        one.rule: one.severity
        for one in lint_findings("0002_x", sql, parse_linted(printed(*rules)))
    }


@pytest.mark.parametrize(
    ("sql", "rules"),
    [
        ("DELETE FROM users", ["delete-all"]),
        ('DELETE FROM "users" USING other', ["delete-all"]),
        ("DELETE FROM users WHERE id = 1", []),
        ("UPDATE users SET a = 1", ["update-all"]),
        ("UPDATE users SET a = (SELECT b FROM c WHERE c.id = 1)", ["update-all"]),
        ("UPDATE users SET a = (SELECT b FROM c) WHERE a IS NULL", []),
        ("WITH gone AS (DELETE FROM users RETURNING *) SELECT 1 WHERE true", ["delete-all"]),
        ("WITH kept AS (SELECT 1 WHERE true) DELETE FROM users", ["delete-all"]),
        ("WITH kept AS (SELECT 1) UPDATE users SET a = 1 WHERE b", []),
        ("TRUNCATE users, orders", ["truncate"]),
        ("INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1", []),
        ("SELECT * FROM t FOR UPDATE", []),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES b (id) ON DELETE CASCADE ON UPDATE SET NULL",
         []),
        ("CREATE TRIGGER a BEFORE UPDATE OR DELETE ON t EXECUTE FUNCTION f()", []),
        ("-- DELETE FROM users\nSELECT 'DELETE FROM users', $$UPDATE t SET a = 1$$", []),
        ("/* WHERE */ DELETE FROM users /* WHERE true */", ["delete-all"]),
        ("DELETE FROM a; UPDATE b SET c = 1; TRUNCATE d;",
         ["delete-all", "update-all", "truncate"]),
        ("", []),
    ],
)  # fmt: skip
def test_statements_that_reach_every_row(sql: str, rules: list[str]) -> None:
    assert [rule for rule, _ in unguarded(sql)] == rules


@given(st.text(max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    lint_findings("0002_x", text, [])


def test_severities_are_ours() -> None:
    assert found("", "ban-drop-column", "require-concurrent-index-creation") == {
        "drop-column": "block",
        "index": "note",
    }
    assert found("", "ban-drop-database") == {"drop-database": "refuse"}
    assert found("DELETE FROM a", "ban-drop-table") == {
        "delete-all": "block",
        "drop-table": "block",
    }


def test_style_and_what_slipway_does_itself_is_not_told() -> None:
    assert found("", *IGNORED) == {}


def test_a_rule_that_came_later_is_a_note_in_the_linters_words() -> None:
    (one,) = lint_findings("0002_x", "", parse_linted(printed("ban-something-new")))
    assert (one.rule, one.severity, one.about) == ("ban-something-new", "note", "0002_x")
    assert one.what == "0002_x, line 4, m."


def test_what_is_no_list_of_findings_is_refused() -> None:
    for text in ("", "{}", "[1]", '[{"line": 1}]', "error: no such file"):
        with pytest.raises(BadInput, match="no list of findings"):
            parse_linted(text)


def test_every_rule_that_is_asked_for_has_a_meaning_and_says_what_it_blocks() -> None:
    assert set(WANTED) <= set(_RULES)
    assert not set(IGNORED) & set(_RULES)
    for rule in _RULES.values():
        assert rule.says
        assert rule.remedy


def test_what_needs_an_explicit_word_can_be_found() -> None:
    ours = {one.name for one in _RULES.values()} | {"delete-all", "update-all"}
    assert set(EXPLICIT) - ours == {"changes-data", "recreate-table"}, "the rehearsal's own"
