"""What `slipway backups reapply` asks of the worker, and how it is printed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from slipway import names
from slipway.base import say_length
from slipway.messages.reapply import (
    MOST_CHOICES,
    Chosen,
    Reapplied,
    ReapplyRequest,
    RowChoice,
    RowOutcome,
    TableOutcome,
)
from starter.documents import Lost
from starter.guard import OK, REFUSED, Stop
from starter.inquire import ask_worker, place_of
from starter.lookup import find_or_none
from starter.people import Speaker
from starter.render import printable
from starter.session import connect

_LONGEST = 12 * 3600.0
"""Seconds that writing rows again may take."""
_MOST = 20


@dataclass(frozen=True)
class Wish:
    """What is to be done with the rows of a deployment."""

    name: str
    apply: bool
    overwrite: bool
    lost: Lost
    only: Sequence[str] = ()
    """Choices as typed: `schema.table`, or `schema.table KEY`."""
    without: Sequence[str] = ()


def _choices(typed: Sequence[str]) -> list[RowChoice]:
    if len(typed) > MOST_CHOICES:
        raise Stop(REFUSED, f"{len(typed)} choices; at most {MOST_CHOICES} travel at once.")
    return [read_choice(one) for one in typed]


def read_choice(text: str) -> RowChoice:
    """Read which rows a person means: `schema.table`, `schema.table 17`, or a key of several
    columns as it is printed, `schema.table ["17", "en"]`. Raises Stop."""
    table, _, key = text.strip().partition(" ")
    if "." not in table.strip("."):
        raise Stop(REFUSED, f"{table!r} is no table: write schema.table, such as public.users.")
    key = key.strip()
    if not key:
        return RowChoice(table=table)
    if not key.startswith("["):
        return RowChoice(table=table, key=[key])
    try:
        return RowChoice(table=table, key=json.loads(key))
    except (ValueError, RecursionError):
        raise Stop(
            REFUSED, f'{key!r} is no key: write it as it is printed, such as ["17"].'
        ) from None


async def reapply(wish: Wish, speaker: Speaker) -> int:
    """Have rows written again, or tried, and print what became of them. Refused while the
    deployment runs."""
    if wish.apply and not speaker.reason:
        raise Stop(REFUSED, "Say why: --reason TEXT. It is kept in the record.")
    client = await connect()
    place = await place_of(client, wish.name, wish.lost)
    found = await find_or_none(client, place.deployment)
    if found is not None and not found.ended:
        raise Stop(REFUSED, f"{found.id} still runs. Wait for its end: slipway watch {found.id}")
    request = ReapplyRequest(
        place=place,
        apply=wish.apply,
        overwrite=wish.overwrite,
        chosen=Chosen(only=_choices(wish.only), without=_choices(wish.without)),
        person=speaker.name,
        reason=speaker.reason or "only tried",
    )
    done = await ask_worker(client, names.REAPPLY_TYPE, request, Reapplied, _LONGEST)
    if speaker.as_json:
        print(json.dumps(done.model_dump(mode="json"), indent=2))
    else:
        print("\n".join(printable(line) for line in reapplied_lines(done, place.deployment)))
    return OK if done.whole else REFUSED


def reapplied_lines(done: Reapplied, deployment: str) -> list[str]:
    """Return what became of the rows: per table, then the first that a person must look at."""
    if not done.files:
        return ["Nothing was set aside: the record names no file of rows."]
    took = say_length(max(done.seconds, 0.001))
    lines = [f"Written again from {_files(done)} in {took}:"]
    if not done.applied:
        lines = [f"Tried in {took}, nothing was written. From {_files(done)}:"]
    lines += [f"  {'✔' if _good(one) else '✘'} {_table(one, done)}" for one in done.tables]
    shown = done.unwritten[:_MOST]
    if shown:
        lines += ["Not written:", *(f"  {_row(one)}" for one in shown)]
    count = sum(one.differs + one.refused + one.waits for one in done.tables)
    if count > len(shown):
        lines.append(f"  … and {count - len(shown)} more")
    if done.outcomes_key:
        lines.append(f"The outcome of every row: {done.outcomes_key}")
    if any(one.differs for one in done.tables):
        lines.append("Rows that stand there with another content are replaced with --overwrite.")
    if not done.applied and any(one.written or one.waits for one in done.tables):
        lines.append(f'To write: slipway backups reapply {deployment} --apply --reason "…"')
    return lines


def _files(done: Reapplied) -> str:
    return " and ".join(one.rpartition("/")[2] for one in done.files)


def _good(one: TableOutcome) -> bool:
    return not (one.differs or one.refused or one.waits)


def _table(one: TableOutcome, done: Reapplied) -> str:
    said = [
        (one.written, "written" if done.applied else "fit"),
        (one.there, "there already"),
        (one.waits, "refer to rows that may come with them"),
        (one.differs, "stand there with another content"),
        (one.refused, "refused"),
    ]
    return f"{one.table}: {', '.join(f'{count} {words}' for count, words in said if count)}"


def _row(one: RowOutcome) -> str:
    state = f" (SQLSTATE {one.sqlstate})" if one.sqlstate else ""
    where = f"{one.table} {one.key}".rstrip()
    return f"{where}, line {one.line} of {one.file.rpartition('/')[2]}: {one.because}{state}"
