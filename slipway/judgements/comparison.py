"""What a comparison of a copy with production says, in words."""

from collections.abc import Sequence

from slipway.messages.migration import TableCompared

_MOST = 6
"""Tables that are named in a sentence."""


def compared(tables: Sequence[TableCompared], changes: Sequence[str] = ()) -> str:
    """Return sentences about a whole comparison: what equals, what differs and why, what was not
    looked at. `changes`: sentences about what could not be followed."""
    seen = [one for one in tables if not one.left]
    equal = [one for one in seen if one.equal]
    last = sum(one.closed for one in equal)
    said = [f"Compared with production: {len(equal)} of {len(tables)} tables equal"]
    if equal:
        said[0] += f" ({last} of them while it was closed)"
    odd = [one for one in seen if not one.equal]
    if odd:
        said.append(f"differing: {differing(odd)}")
    left = [f"{one.table} ({one.left})" for one in tables if one.left]
    if left:
        said.append(f"not compared: {_few(left)}")
    without = [f"{one.table} ({', '.join(one.without)})" for one in seen if one.without]
    if without:
        said.append(f"without columns: {_few(without)}")
    return " ".join([f"{'; '.join(said)}.", *changes[:_MOST]])


def differing(tables: Sequence[TableCompared]) -> str:
    """Say how tables differ, with numbers of rows."""
    return _few([f"{one.table} {_why(one)}" for one in tables])


def _why(one: TableCompared) -> str:
    reasons = [
        f"{count:,} {words}"
        for count, words in (
            (one.recorded, "in the conflict file"),
            (one.migrated, "written by the migration itself"),
            (one.unexplained, "unexplained"),
        )
        if count
    ]
    keys = f" ({'; '.join(one.keys)})" if one.keys else ""
    return f"{', '.join(reasons)}{keys}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{', '.join(names[:_MOST])}{more}"
