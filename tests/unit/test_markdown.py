"""Markdown in which no text becomes markup, judged by a parser that is not ours."""

import pytest
from hypothesis import example, given, settings
from markdown_it import MarkdownIt

from slipway.incident import post_mortem
from slipway.markdown import cell, code, line, table
from slipway.page import Code, plain
from slipway.report import report_markdown
from slipway.run import Event
from slipway.states import Phase, UndoState
from tests.unit.examples import after, rolled_back_run
from tests.unit.hostile_text import NASTY, findings, texts

_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_WORDS = {"text", "text_special", "inline"}


def shape(markdown: str) -> list[str]:
    """Return what a reader's program would make of it, without the words."""
    return [
        one.type
        for token in _PARSER.parse(markdown)
        for one in (token, *(token.children or ()))
        if one.type not in _WORDS
    ]


def words(markdown: str) -> str:
    """Return the words that a reader would see."""
    return "".join(
        one.content for token in _PARSER.parse(markdown) for one in (token.children or ())
    )


HARMLESS = shape(report_markdown(findings("x")))


@settings(deadline=None, max_examples=40)
@given(texts)
@example(" ".join(NASTY))
def test_whatever_a_text_holds_the_report_keeps_its_shape(text: str) -> None:
    assert shape(report_markdown(findings(text))) == HARMLESS


def hostile_post_mortem(text: str) -> str:
    """Return a post-mortem in which everything that people and servers wrote is this text."""
    run = rolled_back_run()
    assert run.verdict is not None
    run.release = run.release.model_copy(update={"summary": text, "version": text, "marks": [text]})
    run.verdict = run.verdict.model_copy(update={"because": text, "service": text})
    run.requester = text
    run.approvals = [run.approvals[0].model_copy(update={"person": text, "reason": text})]
    run.undo[0].because = text
    run.undo[1].state, run.undo[1].because = UndoState.FAILED, text
    run.timeline.append(Event(at=after(400), phase=Phase.ROLL_BACK, text=text, by=text))
    return post_mortem(run)


@settings(deadline=None, max_examples=40)
@given(texts)
@example(" ".join(NASTY))
def test_whatever_a_text_holds_the_post_mortem_keeps_its_shape(text: str) -> None:
    assert shape(hostile_post_mortem(text)) == shape(hostile_post_mortem("x"))


@settings(deadline=None)
@given(texts)
@example("a" * 600)
def test_a_text_reads_as_it_was_written_up_to_500_characters(text: str) -> None:
    wanted = plain(text)[:500]
    assert words(line(text)).strip() == wanted.strip()
    assert (
        words("\n".join(table(("A", "B"), [(text, Code(text))]))) == f"AB{wanted.rstrip()}{wanted}"
    )


@pytest.mark.parametrize("text", ["`", "``", "a`b", "`a``b`", "|", "a|b", " "])
def test_code_holds_any_number_of_backticks_and_bars(text: str) -> None:
    assert words(code(text)) == plain(text) or not plain(text)
    assert words("\n".join(table(("A",), [(Code(f"x{text}"),)]))) == f"A{plain(f'x{text}')}"


def test_plain_words_stay_as_they_are() -> None:
    for text in ("0002_report_language", "3.04 %, 6 scrapes", "a - b", "30s", "- "):
        assert cell(text) == text.strip()


def test_a_page_ends_with_one_line_break() -> None:
    text = report_markdown(findings("x"))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
