"""`status`, `why`, `watch`: how a deployment stands, also without a worker and without Temporal."""

import json
from datetime import UTC, datetime

from slipway.explain import explain
from slipway.states import ENDINGS, EXIT_CODES, Outcome
from slipway.status import StatusDocument
from starter.documents import Lost
from starter.guard import OK, WAITING
from starter.inquire import from_record
from starter.live import follow
from starter.lookup import find, find_or_none
from starter.render import clean, full
from starter.session import connect
from starter.stand import Stand, stand_of, waits_for_person


async def status(name: str, lost: Lost, *, as_json: bool, exit_code: bool) -> int:
    """Print how a deployment stands."""
    stand = await _stand(name, lost)
    if as_json:
        print(json.dumps(stand.as_json(), indent=2))
    else:
        note = [clean(stand.note), ""] if stand.note else []
        print("\n".join([*note, *full(stand.status, datetime.now(UTC))]))
    return _code(stand.status) if exit_code else OK


async def why(name: str, lost: Lost, *, as_json: bool, exit_code: bool) -> int:
    """Print what a deployment waits for or why it failed, in at most 24 lines."""
    stand = await _stand(name, lost)
    lines = explain(stand.status, stand.note)
    if as_json:
        trouble = [one.model_dump(mode="json") for one in stand.status.trouble]
        said = {"id": stand.status.id, "note": stand.note, "lines": lines, "trouble": trouble}
        print(json.dumps(said, indent=2))
    else:
        print("\n".join(lines))
    return _code(stand.status) if exit_code else OK


async def watch(name: str) -> int:
    """Follow a deployment to its end and return its outcome's exit code."""
    return await follow(await find(await connect(), name))


async def _stand(name: str, lost: Lost) -> Stand:
    client = await connect()
    found = await find_or_none(client, name)
    if found is None and lost.plan is not None:
        return await from_record(client, name, lost)
    return await stand_of(found or await find(client, name))


def _code(status: StatusDocument) -> int:
    """0 deployed or under way, 7 waiting for a person, else as the outcome says.

    A run that was ended from outside waits for a person: to take it back.
    """
    if status.outcome is not Outcome.RUNNING:
        return EXIT_CODES[status.outcome]
    ended = any(one.kind in ENDINGS for one in status.trouble)
    return WAITING if ended or waits_for_person(status) else OK
