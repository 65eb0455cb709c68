"""The HTML report: one file, readable without anything else, and no text in it becomes markup."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings

from slipway.html_style import STYLE
from slipway.page import plain
from slipway.report import Findings, report_html
from slipway.states import Outcome
from slipway.status import status_of
from tests.unit.examples import after, approved_run, fresh_run, rolled_back_run
from tests.unit.hostile_text import NASTY, findings, texts

_VOID = {"meta", "rect", "line"}


class Read(HTMLParser):
    """What a browser would find: elements with their attributes, and the words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shape: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs if name != "class"]
        self.shape.append(f"{tag} {' '.join(names)}")
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag
        self.shape.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        self.shape.append("comment")

    def values(self, name: str) -> list[str]:
        """Return every value of an attribute."""
        return [value for _, one, value in self.attributes if one == name]

    def classes(self) -> set[str]:
        """Return every class that is used."""
        return {word for value in self.values("class") for word in value.split()}


HARMLESS = Read(report_html(findings("x")))


@settings(deadline=None, max_examples=60)
@given(texts)
@example(" ".join(NASTY))
def test_whatever_a_text_holds_the_page_keeps_its_shape_and_shows_it(text: str) -> None:
    hostile = Read(report_html(findings(text)))
    assert hostile.shape == HARMLESS.shape
    assert hostile.open == []
    assert plain(text) in hostile.words
    assert hostile.classes() <= HARMLESS.classes()


@pytest.mark.parametrize("text", NASTY)
def test_every_nasty_text_alone_is_shown_as_it_is(text: str) -> None:
    page = report_html(findings(text + "."))
    assert Read(page).shape == HARMLESS.shape
    assert plain(text + ".") in Read(page).words
    page.encode("utf-8")


def test_nothing_is_fetched_run_or_linked() -> None:
    page = Read(report_html(findings("x")))
    elements = {one.split()[0] for one in page.shape}
    assert elements.isdisjoint({"script", "link", "img", "iframe", "a", "form", "object", "base"})
    names = {name for _, name, _ in page.attributes}
    assert names.isdisjoint({"src", "href", "srcset", "style"})
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    policy = page.values("content")[0]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_the_page_has_language_title_headings_and_headed_tables() -> None:
    text = report_html(findings("x"))
    page = Read(text)
    assert ("html", "lang", "en") in page.attributes
    assert "<title>" in text
    assert sum(one.startswith("h1") for one in page.shape) == 1
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert set(page.values("aria-labelledby")) == ids
    tables = sum(one.startswith("table") for one in page.shape)
    assert tables == sum(one.startswith("thead") for one in page.shape)
    assert {"col", "row"} == set(page.values("scope"))


def test_the_outcome_is_the_first_thing_to_read() -> None:
    words = Read(report_html(Findings(status=status_of(rolled_back_run())))).words
    body = words.partition("2026.11.3 to demo\n")[2]
    assert body.startswith("rolled back\ndemo is back as it was before 2026.11.3: 1 service serves")


def test_the_run_is_drawn_in_its_order_and_told_in_words() -> None:
    page = report_html(Findings(status=status_of(rolled_back_run())))
    bars = page.partition('<table class="bars">')[2].partition("</table>")[0]
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th>', bars)
    phases = ["preflight", "backup", "approval", "go", "migrate", "roll out"]
    back = ["roll back", "put back analytics", "put back migrate"]
    assert rows == [*phases, "service analytics", *back]
    lefts = [float(one) for one in re.findall(r'<rect class="\w+" x="([\d.]+)%"', bars)]
    wides = [float(one) for one in re.findall(r'%" width="([\d.]+)%"', bars)]
    assert len(lefts) == len(rows)
    assert lefts == sorted(lefts)
    assert all(left + wide <= 100.01 for left, wide in zip(lefts, wides, strict=True))
    assert page.count('class="decided"') == len(rows) + 1


def test_a_run_that_has_not_begun_is_a_page_too() -> None:
    page = report_html(Findings(status=status_of(fresh_run()), because="it runs"))
    assert "Nothing has taken any time yet." in page
    assert "The run goes on" in page


def test_light_and_dark_text_is_readable_on_its_ground() -> None:
    light, dark = (_colours(part) for part in STYLE.split("@media (prefers-color-scheme: dark)"))
    for colours in (light, dark):
        for text, ground in (
            *((one, "page") for one in ("text", "soft", "good", "bad")),
            *((one, "card") for one in ("text", "soft")),
            *((one, f"{one}-back") for one in ("good", "bad", "warn", "calm")),
            *(("text", f"{one}-back") for one in ("good", "bad", "warn", "calm")),
        ):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for bar in ("work", "wait", "undo", "mark"):
            assert _contrast(colours[bar], colours["page"]) >= 2.4, bar


def _colours(part: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part.partition("@media print")[0]))


def _contrast(one: str, other: str) -> float:
    """The ratio of the Web Content Accessibility Guidelines."""
    high, low = sorted((_light(one), _light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _light(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_deployed_release_shows_its_undo_and_no_rollback() -> None:
    page = report_html(
        Findings(status=status_of(approved_run(outcome=Outcome.DEPLOYED)), verified_at=after(90))
    )
    assert ">Rollback</h2>" not in page
    assert "Every artefact was read again" in page
