"""What the demo prints around slipway's own output."""

from devstack.demo.cli import Cli
from devstack.demo.run import Ending, Wish
from devstack.stack import Stack
from devstack.world.environment import Environment

RULE = "─" * 78


def opening(stack: Stack, made: Environment, wish: Wish) -> None:
    """Say what is about to happen."""
    fault = ", ".join(f"{name} has the fault {kind}" for name, kind in wish.faults.items())
    around = []
    if wish.gate:
        around.append(f"evidence spoilt: {wish.gate}")
    if wish.staging_fault:
        around.append("in staging {} has the fault {}".format(*wish.staging_fault))
    around += [line for line in _troubles(wish) if line]
    fault = "; ".join(part for part in (fault, *around) if part)
    print(
        f"\n{RULE}\nReleasing {wish.version} to the local production; "
        f"migrations pending: {wish.pending}; {fault or 'all services are sound'}.\n"
        f"Waits are divided by {made.time_scale:g}. "
        "The demo's people answer by themselves.\n"
        f"Temporal UI: {stack.temporal_ui_url}\n{RULE}\n",
        flush=True,
    )


def _troubles(wish: Wish) -> list[str]:
    trouble = wish.trouble
    return [
        "pg_dump loses the end of what it writes" if trouble.damaged_dump else "",
        "nobody answers" if trouble.manner.approval == "silence" else "",
        "the approver will reject" if trouble.manner.approval == "reject" else "",
        "the window is shut" if trouble.opens_in else "",
        "nobody listens for notices" if trouble.deaf else "",
        f"{trouble.outage.server} will stop" if trouble.outage else "",
        f"{len(wish.interruptions)} interruptions will come" if wish.interruptions else "",
    ]


def closing(
    stack: Stack, made: Environment, ending: Ending, wrong: list[str], seconds: float
) -> None:
    """Print the checklist, what an outsider sees, and how to go on."""
    cli, identity = Cli(stack, "slipway"), ending.status.get("id")
    print(f"\n{RULE}")
    for line in [*ending.disturbed, *ending.said]:
        print(line)
    if identity:
        print(cli.run("report", identity).out)
    if wrong:
        print("The world does NOT agree:")
        for sentence in wrong:
            print(f"  - {sentence}")
        if identity:
            print(cli.run("why", identity).out)
    else:
        print(
            "Looked at from outside (images, schema, rows, backup, record, audit log, writer's "
            f"log, notices): the world agrees with the outcome {ending.outcome}, "
            f"reason {ending.reason}, exit code {ending.code}."
        )
    print(f"The demo took {seconds:.0f} s. Everything stays up; look around:")
    print(f"  Temporal UI   {stack.temporal_ui_url}")
    print(f"  Prometheus    {stack.prometheus_url}")
    print("  source .devstack/env")
    if identity:
        print(f"  .venv/bin/slipway status {made.name}; .venv/bin/slipway report {identity}")
    if ending.outcome == "deployed":
        print(f"  .venv/bin/slipway rollback {identity} --reason 'to see it'")
    print("  make down   stops it")
