"""Whether a page shows in a browser what it must show."""

import pytest

from slipway.checks import HtmlPage
from slipway.judgements.rendered import judge_rendered, missing

PAGE = HtmlPage(contains=["Cockpit"], rendered=["Corp Cockpit", "11  partners"])


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("Corp Cockpit\n\n11 partners", None),
        ("Corp\u00a0Cockpit: 11\tpartners", None),
        ("Corp Cockpit", "11  partners"),
        ("corp cockpit 11 partners", "Corp Cockpit"),
        ("", "Corp Cockpit"),
    ],
)
def test_the_first_text_that_is_missing(text: str, lacking: str | None) -> None:
    assert missing(PAGE, text) == lacking


@pytest.mark.parametrize(
    ("text", "complaint", "stuck", "said"),
    [
        ("", "", False, "shows 'Corp Cockpit' nowhere on /: it stays empty"),
        ("Corp Cockpit", "", False, "'11  partners' nowhere on /: it shows 'Corp Cockpit'"),
        ("", "Uncaught Error: x", False, "; its script says 'Uncaught Error: x'"),
        ("", "", True, "a script of it does not come to an end"),
    ],
)
def test_a_page_is_explained(text: str, complaint: str, stuck: bool, said: str) -> None:
    assert said in judge_rendered(PAGE, text, complaint, stuck=stuck)


def test_a_page_that_shows_all_of_it_is_sound_whatever_its_scripts_say() -> None:
    assert judge_rendered(PAGE, "Corp Cockpit 11 partners", "Uncaught Error: x", stuck=True) == ""
