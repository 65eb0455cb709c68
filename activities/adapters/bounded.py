"""Answers of servers, read no further than they may be long."""

import httpx

PLAIN = {"accept-encoding": "identity"}
"""Headers of a request whose answer shall come as it is. httpx unpacks what is compressed chunk by
chunk and before anybody can count: a few kilobytes may become gigabytes."""


async def read(answer: httpx.Response, largest: int) -> bytes | None:
    """Return the body of a streamed answer; None when it is longer than `largest` bytes.

    Raises httpx.DecodingError for one that is compressed.
    """
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise httpx.DecodingError(
            f"the answer is compressed ({coding[:20]}) without being asked to"
        )
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > largest:
            return None
    return bytes(body)


async def beginning(answer: httpx.Response, most: int) -> bytes:
    """Return the first `most` bytes of a streamed answer, as they came; it is not read on."""
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) >= most:
            break
    return bytes(body[:most])
