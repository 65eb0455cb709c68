"""A Loki in memory that holds nothing, and hears what it is asked."""

import httpx

from activities.adapters.loki import Loki


def listening() -> tuple[Loki, list[httpx.Request]]:
    """Return a client and the requests that it has sent so far."""
    asked: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        body = b'{"status":"success","data":{"resultType":"streams","result":[]}}'
        return httpx.Response(200, stream=httpx.ByteStream(body))  # read as it comes

    loki = Loki()
    loki._http = httpx.AsyncClient(transport=httpx.MockTransport(serve))
    return loki, asked
