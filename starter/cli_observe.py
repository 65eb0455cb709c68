"""`slipway observe`: watch deployments that a team makes in its own way, and write nothing."""

from typing import Annotated, NoReturn

import typer

from starter import arguments as a
from starter.guard import REFUSED, Stop, finish

_TRUTHS = ("good", "bad")


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(short_help="Watch deployments others make; write nothing.")(observe)


def observe(
    plan: a.Plan,
    overlay: a.Overlay = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print precision, recall and times so far.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start, and do not follow in the terminal.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End it; what was seen stays.")] = False,
    label: Annotated[
        tuple[str, str] | None,
        typer.Option("--label", metavar="ID good|bad", help="Say how a version was."),
    ] = None,
    because: Annotated[
        str | None, typer.Option("--because", metavar="WHY", help="Kept with a label.")
    ] = None,
    person: a.Person = None,
    json: a.Json = False,
) -> NoReturn:
    """Watch deployments that a team makes in its own way, and change nothing anywhere.

    Each rollout of a service of the plan is noticed, judged by the same watch as slipway's own, and
    followed for the plan's `observe.horizon`: what slipway would have decided, when, and why,
    beside what really happened. One line each; Ctrl-C ends following, not observing. It needs a
    worker with reading rights only: python -m worker --role observe

    Example:

      slipway observe plans/teei-production.yaml

      slipway observe plans/teei-production.yaml --summary

      slipway observe plans/teei-production.yaml --label analytics-7 bad --because "wrong totals"
    """

    async def work() -> int:
        _one_of({"--summary": summary, "--detach": detach, "--stop": stop, "--label": bool(label)})
        from starter import observing

        wanted = observing.Wanted(plan, overlay, json)
        if label is not None:
            return await observing.label(wanted, *_label(label, because), person=person)
        if summary:
            return await observing.summary(wanted)
        if stop:
            return await observing.stop(wanted, person=person)
        return await observing.observe(wanted, follow=not detach)

    finish(work)


def _one_of(chosen: dict[str, bool]) -> None:
    given = [name for name, is_given in chosen.items() if is_given]
    if len(given) > 1:
        raise Stop(REFUSED, f"{' and '.join(given)} cannot be asked for at once. Give one of them.")


def _label(label: tuple[str, str], because: str | None) -> tuple[str, str, str]:
    name, truth = label
    if truth not in _TRUTHS:
        raise Stop(REFUSED, f"{truth[:40]!r} is no label. Say good or bad: --label {name} bad")
    if not because:
        raise Stop(REFUSED, "A label needs its reason. Add --because WHY.")
    return name, truth, because
