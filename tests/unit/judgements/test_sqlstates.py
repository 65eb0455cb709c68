"""PostgreSQL's alarm about corrupted data, as drivers and the server write it. Words are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.sqlstates import tells_of_corruption


@pytest.mark.parametrize(
    "line",
    [
        "SQLSTATE XX001",
        "SQLSTATE: XX001",
        "SQLSTATE[XX001]: Data corrupted",
        "ERROR: invalid page in block 7 (SQLSTATE XX001)",
        "sqlstate=XX001",
        "SQL state: XX002",
        '{"sqlState":"XX002"}',
        '{"level":50,"code":"XX001"}',
        '{"msg":"{\\"code\\":\\"XX001\\"}"}',
        '{"state_code":"XX001"}',
        'errorCode: "XX001"',
        "error: x { length: 3, severity: 'ERROR', code: 'XX001', detail: undefined }",
        "  code: 'XX001',",
        "level=error code=XX001 msg=x",
        "[XX001] could not read block",
        "Raw query failed. Code: `XX001`. Message: `invalid page`",
        'PostgresError { code: "XX001", message: "x" }',
        'DbError { severity: "ERROR", code: SqlState(EXX001), message: "x" }',
        "pq: invalid page in block 7 of relation base/1/2 (XX001)",
        'ERROR:  XX001: could not read block 3 in file "base/1/2"',
        "ERROR [database] XX001: invalid page in block 7",
        "2026-11-23 18:00:00 UTC [12] XX001 ERROR:  invalid page in block 7",
        '2026-11-23,,,ERROR,XX001,"invalid page"',
        "** (Postgrex.Error) ERROR XX001 (data_corrupted) invalid page",
        "Npgsql.PostgresException (0x80004005): XX001: invalid page",
        "(psycopg.errors.DataCorrupted) invalid page in block 7",
        "asyncpg.exceptions.IndexCorruptedError: x",
        "PG::DataCorrupted: ERROR:  invalid page",
    ],
)
def test_what_drivers_and_the_server_write_is_an_alarm(line: str) -> None:
    assert tells_of_corruption(line)


@pytest.mark.parametrize(
    "line",
    [
        '{"level":50,"msg":"invalid coupon XX001"}',
        "ERROR XX001",
        "ERROR: XX001 is no coupon",
        "ERROR coupon code XX001",
        "ERROR coupon code: XX001",
        "ERROR coupon code: 'XX001'",
        '{"level":50,"couponCode":"XX001","coupon_code":"XX002"}',
        "ERROR (XX001) is no coupon",
        "ERROR SQLSTATE XX000",
        "ERROR SQLSTATE AXX001",
        "ERROR SQLSTATE XX0011",
    ],
)
def test_words_are_none(line: str) -> None:
    assert not tells_of_corruption(line)


WORDS = st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), max_size=6).map(" ".join)


@given(WORDS, st.sampled_from(["XX001", "XX002", "XX001.", "XX001,", "XX001!"]), WORDS)
def test_plain_words_around_it_never_count(before: str, state: str, after: str) -> None:
    assert not tells_of_corruption(f'{{"level":50,"msg":"coupon {before} coupon {state} {after}"}}')


@pytest.mark.parametrize("part", ["XX001 ", "SQLSTATE ", "code: ", '"', "errors.", "pq: (XX001"])
def test_hostile_lines_are_read_to_their_end(part: str) -> None:
    tells_of_corruption(part * (1_000_000 // len(part)))
