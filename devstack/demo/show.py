"""What the demo prints around slipway's own output."""

from devstack.demo.cli import Cli
from devstack.demo.run import Ending, Wish
from devstack.stack import Stack
from devstack.world.environment import Environment

RULE = "─" * 78


def opening(stack: Stack, wish: Wish) -> None:
    """Say what is about to happen."""
    fault = ", ".join(f"{name} has the fault {kind}" for name, kind in wish.faults.items())
    around = []
    if wish.gate:
        around.append(f"evidence spoilt: {wish.gate}")
    if wish.staging_fault:
        around.append("in staging {} has the fault {}".format(*wish.staging_fault))
    fault = "; ".join(part for part in (fault, *around) if part)
    print(
        f"\n{RULE}\nReleasing {wish.version} to the local production; "
        f"migrations pending: {wish.pending}; {fault or 'all services are sound'}.\n"
        "Waits are divided by 15. The demo's people confirm and approve by themselves.\n"
        f"Temporal UI: {stack.temporal_ui_url}\n{RULE}\n",
        flush=True,
    )


def closing(
    stack: Stack, made: Environment, ending: Ending, wrong: list[str], seconds: float
) -> None:
    """Print the checklist, what an outsider sees, and how to go on."""
    cli = Cli(stack, "slipway")
    identity = ending.status.get("id", made.name)
    print(f"\n{RULE}")
    for line in ending.said:
        print(line)
    print(cli.run("report", identity).out)
    if wrong:
        print("The world does NOT agree:")
        for sentence in wrong:
            print(f"  - {sentence}")
        print(cli.run("why", identity).out)
    else:
        print(
            "Looked at from outside (images, schema, rows, object store, audit log, writer's log): "
            f"the world agrees with the outcome {ending.outcome}, reason {ending.reason}, "
            f"exit code {ending.code}."
        )
    print(f"The demo took {seconds:.0f} s. Everything stays up; look around:")
    print(f"  Temporal UI   {stack.temporal_ui_url}")
    print(f"  Prometheus    {stack.prometheus_url}")
    print("  source .devstack/env")
    print(f"  .venv/bin/slipway status {made.name}; .venv/bin/slipway report {identity}")
    if ending.outcome == "deployed":
        print(f"  .venv/bin/slipway rollback {identity} --reason 'to see it'")
    print("  make down   stops it")
