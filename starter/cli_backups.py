"""`slipway backups`: what is kept, whether it is good, and restoring it elsewhere."""

from typing import Annotated, NoReturn

import typer

from starter import arguments as a
from starter.documents import Lost
from starter.guard import finish

backups = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List backups, verify one to its last byte, restore one beside production; write rows "
    "again that a rollback has set aside.\n\n"
    "The worker does it: no production credential is needed here.\n\n"
    "Example:\n\n  slipway backups list production",
)
Tag = Annotated[
    str,
    typer.Option("--attempt", metavar="N", help="Which of a run's backups; its newest otherwise."),
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(backups, name="backups", short_help="List, verify and restore backups.")


@backups.command(name="list", short_help="Which backups are kept.")
def listed(
    name: a.Name, plan: a.LostPlan = None, overlay: a.Overlay = None, json: a.Json = False
) -> NoReturn:
    """List the newest backups of an environment, by their manifests; no dump is read.

    Example:

      slipway backups list production
    """

    async def work() -> int:
        from starter import backups

        return await backups.listed(name, Lost(plan, overlay), as_json=json)

    finish(work)


@backups.command(short_help="Read a backup to its last byte.")
def verify(
    name: a.Name,
    attempt: Tag = "",
    plan: a.LostPlan = None,
    overlay: a.Overlay = None,
    json: a.Json = False,
) -> NoReturn:
    """Read a backup's objects again, compare their digests with manifest and record, see that they
    are locked, and let pg_restore read every byte. Ends with 2 when it is no good backup.

    Whether it restores was proved when it was taken; `restore-to` proves it again.

    Example:

      slipway backups verify production-20261123T202134Z-3fa9c1
    """

    async def work() -> int:
        from starter import backups

        wanted = backups.Wanted(name, attempt, Lost(plan, overlay))
        return await backups.verify(wanted, as_json=json)

    finish(work)


@backups.command(name="restore-to", short_help="Restore a backup into a new database.")
def restore_to(
    database: Annotated[
        str, typer.Argument(metavar="DATABASE", help="Name of the database to make.")
    ],
    name: Annotated[
        str,
        typer.Option("--from", metavar="ID", help="A deployment's ID, or an environment."),
    ],
    attempt: Tag = "",
    plan: a.LostPlan = None,
    overlay: a.Overlay = None,
    json: a.Json = False,
) -> NoReturn:
    """Restore a backup into a new database beside production, and prove that it equals the backup:
    rows, schema, sequences, large objects. An existing database is refused and never touched.

    It is open to its owner and to administrators only. Drop it by hand when nobody needs it.

    Example:

      slipway backups restore-to teei_drill --from production
    """

    async def work() -> int:
        from starter import backups

        wanted = backups.Wanted(name, attempt, Lost(plan, overlay))
        return await backups.restore_to(database, wanted, as_json=json)

    finish(work)


@backups.command(short_help="Drop what a run that changed nothing left.")
def tidy(
    name: a.Name, plan: a.LostPlan = None, overlay: a.Overlay = None, json: a.Json = False
) -> NoReturn:
    """Drop side databases and half-made objects of a run that was terminated before it
    changed anything. A run that ends by itself does so by itself.

    Backups stay, and everything that a rollback may need.

    Example:

      slipway backups tidy production-20261123T202134Z-3fa9c1
    """

    async def work() -> int:
        from starter import backups

        return await backups.tidy(name, Lost(plan, overlay), as_json=json)

    finish(work)


@backups.command(short_help="Write rows again that a rollback has set aside.")
def reapply(
    name: a.Name,
    apply: Annotated[bool, typer.Option("--apply", help="Write; else it is only tried.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also over rows with another content.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="'TABLE [KEY]'", help="Nothing but these rows."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="'TABLE [KEY]'", help="Not these rows."),
    ] = None,
    person: a.Person = None,
    reason: a.Reason = None,
    plan: a.LostPlan = None,
    overlay: a.Overlay = None,
    json: a.Json = False,
) -> NoReturn:
    """Write the rows into production that a rollback of the database could not carry over: those of
    its conflict file and of its file of lost rows. Without --apply all of it is tried and taken
    back. A row is written exactly as production had it, or not at all; once more is harmless.

    Ends with 2 where rows are left that a person must look at.

    Example:

      slipway backups reapply teei-production --apply --reason "release 2.5 has the columns again"

      slipway backups reapply teei-production --without public.reports --without 'public.users 17'
    """

    async def work() -> int:
        from starter import reapply
        from starter.people import Speaker

        wish = reapply.Wish(name, apply, overwrite, Lost(plan, overlay), only or (), without or ())
        return await reapply.reapply(wish, Speaker(person, reason, json))

    finish(work)
