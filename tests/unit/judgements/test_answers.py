"""Answers of services: exact, hostile, and what a flow carries from one to the next."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.checks import Expect, Health, HtmlPage, Step
from slipway.judgements import answers
from slipway.judgements.answers import Answer, Wrong

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def answer(body: object, status: int = 200, media_type: str = "application/json") -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, media_type, content)


def test_the_exact_health_body_passes() -> None:
    answers.check_health(answer({"status": "UP"}), Health())


@pytest.mark.parametrize(
    "found",
    [
        answer({"status": "DOWN"}),
        answer({"status": "UP", "more": 1}),
        answer({"status": "UP"}, 503),
        answer({}),
        answer(b'{"status":"DOWN","status":"UP"}'),
        answer(b'{"status":"UP"'),
        answer(b"\xff\xfe"),
        answer(b"[" * 5000 + b"]" * 5000),
        answer(b"NaN"),
        Answer(302, "", b"", "https://login.example"),
    ],
)
def test_anything_else_is_wrong(found: Answer) -> None:
    with pytest.raises(Wrong):
        answers.check_health(found, Health())


def test_redirects_say_where_they_lead_and_that_they_are_not_followed() -> None:
    with pytest.raises(Wrong, match=r"login\.example.*not followed"):
        answers.check_health(Answer(302, "", b"", "https://login.example"), Health())


def test_pages() -> None:
    page = HtmlPage(contains=["Cockpit"])
    answers.check_page(answer(b"<html>Cockpit", media_type="text/html"), page)
    for found in (
        answer(b"<html>Cockpit", media_type="application/json"),
        answer(b"<html>other", media_type="text/html"),
        answer(b'{"title": "Cockpit"}', media_type="text/html"),
        answer(b"Cockpit: 503 <upstream>", media_type="text/html"),
        answer(b"<html>Cockpit", 500, "text/html"),
    ):
        with pytest.raises(Wrong):
            answers.check_page(found, page)


@given(JSON)
def test_equality_is_reflexive_and_true_is_not_one(value: object) -> None:
    assert answers.same(value, value)
    assert not answers.same(True, 1)
    assert not answers.same(0, False)


@given(JSON)
def test_strict_parsing_gives_back_what_was_written(value: object) -> None:
    assert answers.same(answers.parse_json(json.dumps(value).encode()), value)


@given(st.binary(max_size=200))
def test_parsing_never_fails_in_another_way(body: bytes) -> None:
    with contextlib.suppress(Wrong):
        answers.parse_json(body)


@given(st.dictionaries(st.text(max_size=6), st.integers(), min_size=1, max_size=3))
def test_pointers_reach_any_key(document: dict[str, int]) -> None:
    for key, value in document.items():
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        assert answers.pointed(document, pointer) == value


def test_pointers_that_lead_nowhere_are_wrong() -> None:
    for pointer in ("/a/b", "/items/2", "/items/-1", "/items/x"):
        with pytest.raises(Wrong):
            answers.pointed({"a": 1, "items": [1, 2]}, pointer)


def step(**more: object) -> Step:
    return Step.model_validate({"name": "s", "path": "/", **more})


def test_a_step_captures_what_later_ones_need() -> None:
    first = step(expect={"present": ["/id"]}, capture={"report": "/id"})
    captured = answers.check_step(first, answer({"id": 7}))
    second = step(
        path="/reports/{report}", method="POST", body={"id": "{report}", "s": "r{report}"}
    )
    sending = answers.fill_step(second, captured)
    assert sending.path == "/reports/7"
    assert json.loads(sending.body or b"") == {"id": 7, "s": "r7"}


@pytest.mark.parametrize("value", ["../../admin", "a/b?c=d#e", "x y"])
def test_captured_values_stay_within_their_part_of_the_path(value: str) -> None:
    sending = answers.fill_step(step(path="/reports/{report}/x"), {"report": value})
    assert sending.path.count("/") == 3
    assert not set("?# ") & set(sending.path)


def test_a_captured_value_that_looks_like_a_secret_is_not_filled_in() -> None:
    variables = {"token": "{password}", "password": "hunter2"}
    sending = answers.fill_step(step(headers={"Authorization": "Bearer {token}"}), variables)
    assert sending.headers["Authorization"] == "Bearer {password}"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "ü", "\x00"])
def test_captured_values_cannot_break_a_header(value: str) -> None:
    with pytest.raises(Wrong):
        answers.fill_step(step(headers={"Authorization": "{token}"}), {"token": value})


def test_an_unknown_variable_is_wrong() -> None:
    with pytest.raises(Wrong, match="token"):
        answers.fill_step(step(headers={"Authorization": "{token}"}), {})


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        (Expect(), answer({}, 500)),
        (Expect(content_type="text/html"), answer({})),
        (Expect(contains=["x"]), answer({})),
        (Expect(equals={"/a": 1}), answer({"a": True})),
        (Expect(present=["/a"]), answer({"a": []})),
        (Expect(present=["/a"]), answer({})),
    ],
)
def test_what_is_not_as_expected_is_wrong(expect: Expect, found: Answer) -> None:
    with pytest.raises(Wrong):
        answers.check_step(step(expect=expect), found)


def test_a_good_answer_with_another_status_does_not_tell_its_body() -> None:
    with pytest.raises(Wrong) as raised:
        answers.check_step(step(expect={"status": 201}), answer({"token": "s3cret"}))
    assert "s3cret" not in str(raised.value)


def test_an_expected_redirect_is_fine() -> None:
    assert answers.check_step(step(expect={"status": 302}), Answer(302, "", b"", "/x")) == {}


def test_what_stands_in_headers_is_hidden_however_it_is_written() -> None:
    one = Step.model_validate(
        {"name": "s", "path": "/{id}", "headers": {"authorization": "Bearer {token}"}}
    )
    hidden = answers.in_headers(one, {"token": 'a/"b', "id": "7"})
    assert hidden == {'a/"b'}
    said = answers.hide('at a/"b, in JSON "a/\\"b", in an address a%2F%22b, of 7', hidden)
    assert said == 'at ***, in JSON "***", in an address ***, of 7'


def test_a_secret_is_hidden_before_the_text_is_cut() -> None:
    found = Answer(400, "", b"x" * 150 + b"a-long-secret", hidden=frozenset({"a-long-secret"}))
    one = Step.model_validate({"name": "s", "path": "/"})
    with pytest.raises(Wrong) as told:
        answers.check_step(one, found)
    assert "a-l" not in str(told.value)
