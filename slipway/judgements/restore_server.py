"""Whether another server can hold the copies of production, and what a rollback then costs."""

from dataclasses import dataclass

from slipway.base import say_length
from slipway.judgements.database_ready import Standing
from slipway.messages.preflight import Finding

_KEY = "database.restore_server"
_SHOWN = 5


@dataclass(frozen=True)
class Lacking:
    """What production has, and the server of its copies has not. Names."""

    roles: tuple[str, ...] = ()
    """Owners and grantees: a restore gives them what is theirs."""
    extensions: tuple[str, ...] = ()
    locale: str = ""
    """Production's, where the other server does not know it."""


def judge_restore_server(here: Standing, there: Standing, lacking: Lacking) -> list[Finding]:
    """Return what keeps copies of production (`here`) from being made and used `there`."""
    found = []
    if there.server == here.server:
        what = f"{_KEY} opens production's own server."
        found.append(_block(what, "Leave it out of the plan, or let it lead to the other server."))
    if there.role != here.role:
        what = f"{_KEY} logs in as {there.role}, database.url as {here.role}."
        remedy = "Let both log in as roles of the same name: what is fetched back belongs to it."
        found.append(_block(what, remedy))
    if there.server_major != here.server_major:
        what = f"{_KEY} is PostgreSQL {there.server_version}, production {here.server_version}."
        found.append(_block(what, "Both must be of one major version, or dumps may not restore."))
    if lacking.roles:
        remedy = " ".join(f"CREATE ROLE {one} NOLOGIN;" for one in lacking.roles[:_SHOWN])
        what = f"{_KEY} lacks roles that own or may use something: {_some(lacking.roles)}."
        found.append(_block(what, f"Run there as administrator: {remedy}"))
    if lacking.extensions:
        what = f"{_KEY} cannot install the extensions {_some(lacking.extensions)}."
        found.append(_block(what, "Install their packages where that server runs."))
    if lacking.locale:
        what = f"{_KEY} does not know production's locale {lacking.locale}."
        found.append(_block(what, "Generate it there (locale-gen), then restart the server."))
    return found


def judge_price(size: int, earlier: tuple[float, int] | None, key: str = "") -> Finding:
    """Return what a rollback takes longer because its copy must be fetched back: a restore of
    `size` bytes. `earlier`: seconds and bytes of the newest backup, whose key is `key`; what it
    took in all bounds its restore."""
    what = "A rollback of the database first fetches the old schema's copy from the other server"
    if earlier and min(earlier) > 0:
        seconds = max(1.0, size * earlier[0] / earlier[1])
        takes = say_length(float(round(seconds)))
        what += f": at most about {takes} for {size >> 20} MiB, as long as {key} took in all"
    else:
        what += f" ({size >> 20} MiB); how long that takes the first backup shows"
    return Finding(
        severity="note",
        group="database",
        what=f"{what}. Production stays open meanwhile; it is closed for the swap only.",
        remedy=f"Leave {_KEY} out where a decision must take effect sooner: the copy then costs "
        "production's own server disk and work.",
    )


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _block(what: str, remedy: str) -> Finding:
    return Finding(severity="block", group="database", what=what, remedy=remedy)
