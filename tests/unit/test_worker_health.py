"""What probes of a worker are answered."""

import asyncio

import httpx
import pytest

from devstack import ports
from worker.health import Health, probes


def free_address() -> str:
    return f"127.0.0.1:{ports.choose(['probes'], {})['probes']}"


async def ask(address: str, path: str) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return (await client.get(f"http://{address}{path}")).status_code


async def test_a_worker_is_alive_before_it_serves_and_ready_while_it_does() -> None:
    address = free_address()
    async with probes(address) as health:
        assert await ask(address, "/healthz") == 200
        assert await ask(address, "/readyz") == 503
        health.serving = True
        assert await ask(address, "/readyz") == 200
        assert await ask(address, "/") == 404
    with pytest.raises(httpx.ConnectError):
        await ask(address, "/healthz")


async def test_nobody_is_answered_where_no_address_is_set() -> None:
    async with probes("") as health:
        assert not health.serving


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"x" * 100_000])
async def test_noise_does_not_disturb_the_next_probe(said: bytes) -> None:
    address = free_address()
    host, _, port = address.partition(":")
    async with probes(address):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        writer.write_eof()
        assert b"200" not in await reader.read()
        writer.close()
        assert await ask(address, "/healthz") == 200


def test_the_head_of_a_request_is_enough() -> None:
    assert Health().status(b"GET /healthz HTTP/1.1\r\n\r\n") == 200
