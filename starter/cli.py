"""The `slipway` command line: names, arguments and help; the work is imported when it is needed."""

from typing import NoReturn

import typer

from starter import arguments as a
from starter.documents import Documents, Lost
from starter.guard import finish, leave

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Carry a release to production by the TEEI playbook, as one durable Temporal workflow.",
    epilog=(
        "Exit codes: 0 done; 2 bad input, refused or unknown; 3 rolled back; 4 rollback "
        "incomplete; 5 rejected or expired; 6 stopped before any change; 7 waiting for a person; "
        "8 a server cannot be reached."
    ),
)


@app.command(short_help="Validate plan and release, ask no server.")
def check(
    plan: a.Plan, release: a.Release, overlay: a.Overlay = None, json: a.Json = False
) -> NoReturn:
    """Validate plan and release; print the sequence, the sum of waits and who must approve.

    Asks no server.

    Example:

      slipway check plans/teei-production.yaml plans/example-release.yaml
    """

    def work() -> int:
        from starter import begin

        return begin.check(Documents(plan, release, overlay), as_json=json)

    finish(work)


@app.command(short_help="Let the worker look for what is in the way.")
def doctor(
    plan: a.Plan, release: a.Release, overlay: a.Overlay = None, json: a.Json = False
) -> NoReturn:
    """Let the worker check rights, settings, versions, room and staging, and change nothing.

    One line a finding: ✘ is in the way, · is worth a word; behind → stands what to do. Needs no
    deployment. Ends with 0 when all is ready, with 2 when something is in the way.

    Example:

      slipway doctor plans/teei-production.yaml plans/example-release.yaml
    """

    async def work() -> int:
        from starter import doctor

        return await doctor.doctor(Documents(plan, release, overlay), as_json=json)

    finish(work)


@app.command(short_help="Start a deployment.")
def start(
    plan: a.Plan,
    release: a.Release,
    overlay: a.Overlay = None,
    wait: a.Follow = False,
    yes: a.Yes = False,
    json: a.Json = False,
) -> NoReturn:
    """Start a deployment. Nothing in production is changed before it is approved.

    With --wait it is followed to its end, and the exit code is its outcome's.

    Example:

      slipway start plans/teei-production.yaml plans/example-release.yaml --wait
    """

    async def work() -> int:
        from starter import begin

        documents = Documents(plan, release, overlay)
        return await begin.start(documents, wait=wait, yes=yes, as_json=json)

    finish(work)


@app.command(short_help="Print how a deployment stands.")
def status(
    name: a.Name,
    plan: a.LostPlan = None,
    overlay: a.Overlay = None,
    json: a.Json = False,
    exit_code: a.ExitCode = False,
) -> NoReturn:
    """Print how a deployment stands: phase, waits, services, backup, checklist, undo, timeline.

    Without a worker it reads the memo and says so.

    Example:

      slipway status teei-production --json
    """

    async def work() -> int:
        from starter import show

        lost = Lost(plan, overlay)
        return await show.status(name, lost, as_json=json, exit_code=exit_code)

    finish(work)


@app.command(short_help="What it waits for, or why it failed.")
def why(
    name: a.Name,
    plan: a.LostPlan = None,
    overlay: a.Overlay = None,
    json: a.Json = False,
    exit_code: a.ExitCode = False,
) -> NoReturn:
    """Say what a deployment waits for or why it failed: culprit, evidence, next command.

    Example:

      slipway why teei-production
    """

    async def work() -> int:
        from starter import show

        lost = Lost(plan, overlay)
        return await show.why(name, lost, as_json=json, exit_code=exit_code)

    finish(work)


@app.command(short_help="Follow a deployment to its end.")
def watch(name: a.Name) -> NoReturn:
    """Follow a deployment to its end; the exit code is its outcome's.

    Example:

      slipway watch teei-production
    """

    async def work() -> int:
        from starter import show

        return await show.watch(name)

    finish(work)


@app.command(short_help="Print the report, verified again.")
def report(
    name: a.Name,
    form: a.Format = a.Form.MARKDOWN,
    output: a.Output = None,
    plan: a.LostPlan = None,
    overlay: a.Overlay = None,
) -> NoReturn:
    """Print the report; every artefact is read again and its digest compared.

    As HTML it is one file that needs nothing else: to send, to print, to keep. While the deployment
    runs, the report says how it stands.

    Example:

      slipway report teei-production --format html --output report.html
    """

    async def work() -> int:
        from starter import tell

        lost = Lost(plan, overlay)
        return await tell.report(name, lost, form=form, output=output)

    finish(work)


def main() -> None:
    """Run the command line."""
    from starter import cli_backups, cli_observe, cli_people

    cli_people.register(app)
    cli_backups.register(app)
    cli_observe.register(app)
    try:
        app(prog_name="slipway")
    except SystemExit as end:
        leave(end)
