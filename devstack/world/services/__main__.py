"""`python -m devstack.world.services --stack .devstack/stack.json`: runs until it is ended.

Without `--stack` the servers are those of the variables `DEVSTACK_…`.
"""

import argparse
import asyncio
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from devstack.stack import Stack
from devstack.world import layout
from devstack.world.services.http import Server
from devstack.world.services.notices import Notices
from devstack.world.services.world import World


async def serve(stack: Stack) -> None:
    """Serve all environments of a stack until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    world, notices = World(stack), Notices(layout.environments(stack))
    servers = [
        Server(urlsplit(stack.world_url).port or 0, world.handle),
        Server(urlsplit(stack.webhook_url).port or 0, notices.handle),
    ]
    for server in servers:
        await server.start()
    running, waiting = asyncio.create_task(world.run()), asyncio.create_task(ended.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        await server.stop()
    waiting.cancel()
    if running.done():
        running.result()  # a bug of the world must not end it silently
    running.cancel()
    await asyncio.wait([running])


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m devstack.world.services", description=__doc__)
    parser.add_argument("--stack", type=Path, help="the stack's stack.json")
    file: Path | None = parser.parse_args().stack
    asyncio.run(serve(Stack.load(file.parent) if file else Stack.from_environment(os.environ)))


if __name__ == "__main__":
    main()
