"""Hand-made windows."""

import numpy as np

from benchmarks.judgement.scrapes import Scrapes


def window(
    *scrapes: tuple[int, int], interval: float = 5.0, length: float | None = None
) -> Scrapes:
    """One window of (requests, failures) scrapes, the first of them one interval after it began."""
    counts = np.array(scrapes, dtype=np.int64).reshape(-1, 2)
    at = interval * np.arange(1, len(counts) + 1, dtype=np.float64)
    whole = interval * len(counts) if length is None else length
    return Scrapes(whole, interval, at[None], counts[None, :, 0], counts[None, :, 1])


def minutes(*failing: int, requests: int = 100) -> Scrapes:
    """One window of 5 s scrapes: so many failures in each scrape of each minute."""
    return window(*[(requests, one) for one in failing for _ in range(12)])
