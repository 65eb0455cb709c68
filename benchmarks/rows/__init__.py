"""One module a row: each measures slipway and what it is compared with, interleaved."""
