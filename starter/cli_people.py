"""Commands by which people answer and steer a deployment."""

from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from starter import arguments as a
from starter.documents import Lost
from starter.guard import finish


class Decision(StrEnum):
    """What may be decided about a parked step."""

    RETRY = "retry"
    SKIP = "skip"
    ROLLBACK = "rollback"
    RESUME = "resume"
    STOP = "stop"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(short_help="Show what is to be approved, and approve it.")(approve)
    app.command(short_help="Reject it; the deployment ends.")(reject)
    app.command(short_help="Confirm what no program can know.")(acknowledge)
    app.command(short_help="Decide about a parked step.")(resolve)
    app.command(short_help="Wait before the next step.")(pause)
    app.command(short_help="Go on after pause or abort.")(resume)
    app.command(short_help="Stop everything now.")(abort)
    app.command(short_help="Take a deployment back.")(rollback)


def approve(
    name: a.Name,
    role: a.Role,
    person: a.Person = None,
    digest: Annotated[
        str | None,
        typer.Option("--digest", help="Approve exactly this; what is shown when left out."),
    ] = None,
    accept: a.Accept = None,
    reason: a.Reason = None,
    yes: a.Yes = False,
    json: a.Json = False,
) -> NoReturn:
    """Show what is to be approved (digest, SQL, evidence, backup, rehearsal), ask, and approve it.

    Example:

      slipway approve teei-production --role vp --person vp-engineering@teei.com
    """

    async def work() -> int:
        from starter import people

        speaker = people.Speaker(person, reason, json)
        return await people.approve(
            name, speaker, role=role, digest=digest, accept=accept or (), yes=yes
        )

    finish(work)


def reject(
    name: a.Name,
    role: a.Role,
    reason: a.NeededReason,
    person: a.Person = None,
    json: a.Json = False,
) -> NoReturn:
    """Reject what stands for approval; the deployment ends before any change.

    Example:

      slipway reject teei-production --role cto --reason "not on a Friday"
    """

    async def work() -> int:
        from starter import people

        return await people.reject(name, people.Speaker(person, reason, json), role=role)

    finish(work)


def acknowledge(
    name: a.Name,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Such as stakeholders-notified.")],
    person: a.Person = None,
    reason: Annotated[
        str | None, typer.Option("--note", "--reason", metavar="TEXT", help="Kept in the record.")
    ] = None,
    json: a.Json = False,
) -> NoReturn:
    """Confirm an item that no program can know.

    Example:

      slipway acknowledge teei-production stakeholders-notified --note "mail of 14:05"
    """

    async def work() -> int:
        from starter import people

        return await people.acknowledge(name, people.Speaker(person, reason, json), item=item)

    finish(work)


def resolve(
    name: a.Name,
    choice: Annotated[Decision, typer.Argument(help="What to do with the parked step.")],
    step: Annotated[
        str | None,
        typer.Option("--step", help="The step you decide about; the parked one when left out."),
    ] = None,
    reason: a.Reason = None,
    person: a.Person = None,
    json: a.Json = False,
) -> NoReturn:
    """Decide about a parked step.

    Example:

      slipway resolve teei-production retry --step smoke --reason "the token was renewed"
    """

    async def work() -> int:
        from slipway.states import Choice
        from starter import people

        speaker = people.Speaker(person, reason, json)
        return await people.resolve(name, speaker, choice=Choice(choice.value), step=step)

    finish(work)


def pause(
    name: a.Name, reason: a.Reason = None, person: a.Person = None, json: a.Json = False
) -> NoReturn:
    """Stop before the next step and wait for resume.

    Example:

      slipway pause teei-production --reason "looking at a graph"
    """
    _control("pause", name, reason, person, as_json=json)


def resume(
    name: a.Name, reason: a.Reason = None, person: a.Person = None, json: a.Json = False
) -> NoReturn:
    """Go on after pause or abort.

    Example:

      slipway resume teei-production
    """
    _control("resume", name, reason, person, as_json=json)


def abort(
    name: a.Name, reason: a.Reason = None, person: a.Person = None, json: a.Json = False
) -> NoReturn:
    """Stop everything now: before any change the run ends, after one it waits for a decision.

    Example:

      slipway abort teei-production --reason "wrong release"
    """
    _control("abort", name, reason, person, as_json=json)


def rollback(
    name: a.Name,
    reason: a.Reason = None,
    person: a.Person = None,
    without_database: Annotated[
        bool, typer.Option("--without-database", help="Put back services only.")
    ] = False,
    plan: a.LostPlan = None,
    overlay: a.Overlay = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait to the end, also where a person must decide.")
    ] = False,
    yes: a.Yes = False,
    json: a.Json = False,
) -> NoReturn:
    """Take a deployment back, while it runs or after it has ended.

    A running one is taken back at once, without a question. An ended one is taken back from its
    record, after a question in a terminal, and followed to the end.

    Example:

      slipway rollback teei-production --reason "reports are wrong"
    """

    async def work() -> int:
        from starter import people, take_back

        how = take_back.TakeBack(Lost(plan, overlay), without_database, wait, yes)
        return await take_back.rollback(name, people.Speaker(person, reason, json), how)

    finish(work)


def _control(
    kind: str, name: str, reason: str | None, person: str | None, *, as_json: bool
) -> NoReturn:
    async def work() -> int:
        from starter import people

        return await people.control(name, people.Speaker(person, reason, as_json), kind=kind)

    finish(work)
