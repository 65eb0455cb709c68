"""Whether the programs that a run needs beside slipway can be run where the worker runs."""

from collections.abc import Mapping, Sequence

from slipway.messages.preflight import Finding
from slipway.plan import Migrations

_OF_NODE = {"pnpm", "npm", "npx", "yarn", "corepack"}
"""Programs that are scripts for Node.js."""
_INSTALL = {
    "node": "Install Node.js 20 or newer where the worker runs.",
    "pnpm": "Run: npm install --global pnpm@10",
    "yarn": "Run: npm install --global yarn",
}


def programs(migrations: Migrations) -> list[str]:
    """Return the programs that migrating and generating need, each once."""
    wanted = [command[0] for command in (migrations.command, migrations.generate) if command]
    if _OF_NODE & set(wanted):
        wanted.append("node")
    return list(dict.fromkeys(wanted))


def judge_programs(versions: Mapping[str, str]) -> list[Finding]:
    """Return the programs that cannot be run. `versions`: the empty text where that is so."""
    return [
        Finding(
            severity="block",
            group="worker",
            what=f"{name} cannot be run where the worker runs; the migration's commands need it.",
            remedy=_INSTALL.get(name, f"Install {name}, or add its folder to the worker's PATH."),
        )
        for name, version in versions.items()
        if not version
    ]


def no_browser(trouble: str, services: Sequence[str]) -> Finding:
    """Return that pages of these services cannot be looked at, and why."""
    return Finding(
        severity="block",
        group="worker",
        what=f"`page.rendered` of {', '.join(services)} wants a browser where the worker runs. "
        f"{trouble}",
        remedy="Install Chromium there and set SLIPWAY_BROWSER to its command (as root, or where "
        "the container allows no namespaces: with --no-sandbox), or leave `page.rendered` out.",
    )


def not_rendered(service: str, problem: str) -> Finding:
    """Return that what runs now does not show what the release must show."""
    return Finding(
        severity="note",
        group="worker",
        what=f"`page.rendered` of {service} does not hold for what runs now: {problem}",
        remedy="A release that does not change that is rolled back: correct the texts, or let the "
        "worker reach and trust all that the page loads.",
    )
