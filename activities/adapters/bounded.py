"""Answers of servers, read no further than they may be long."""

import httpx


async def read(answer: httpx.Response, largest: int) -> bytes | None:
    """Return the body of a streamed answer; None when it is longer than `largest` bytes."""
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > largest:
            return None
    return bytes(body)
