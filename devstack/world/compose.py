"""The world of docker-compose.yml: seeds servers that somebody else runs, and writes a release.

`python -m devstack.world.compose seed|history FILE|release`, with the servers in the variables
`DEVSTACK_…`. Everything is idempotent.
"""

import argparse
import os
import sys
from pathlib import Path

from devstack.errors import StackError
from devstack.servers import kubelet
from devstack.stack import Stack
from devstack.world import environment as environments
from devstack.world import history
from devstack.world import release as releases
from devstack.world.kube import Kube

ENVIRONMENT = "demo"


def main() -> int:
    """Do what the command line says; 1 with a sentence when a server does not play along."""
    parser = argparse.ArgumentParser(prog="python -m devstack.world.compose", description=__doc__)
    parser.add_argument("--name", default=ENVIRONMENT, help="the environment's name")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("seed", help="nodes, databases, workspace, Deployments")
    commands.add_parser("history", help="write past samples").add_argument("file", type=Path)
    commands.add_parser("release", help="write a release and the overlay of its addresses")
    arguments = parser.parse_args()
    try:
        if arguments.command == "history":
            history.write_pool(arguments.file)
            return 0
        stack = Stack.from_environment(os.environ)
        (seed if arguments.command == "seed" else release)(stack, arguments.name)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def seed(stack: Stack, name: str) -> None:
    """Give the cluster its nodes, and have the environment; its services start with the world."""
    with Kube(stack) as kube:
        kubelet.populate(kube)
    made = environments.create(stack, name, wait=False)
    releases.worker_environment(stack)  # the folder that workers want to see
    print(f"environment {made.name}: {made.database}, {made.staging_database}")


def release(stack: Stack, name: str) -> None:
    """Write a release with fresh evidence, and the overlay; print where they are."""
    made = environments.load(stack, name)
    print(releases.make_release(stack, made))
    print(releases.write_overlay(stack, made))


if __name__ == "__main__":
    sys.exit(main())
