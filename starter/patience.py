"""How long commands wait, in seconds: what is busy is not gone."""

CONNECT = 10.0
"""For the Temporal server."""
ANSWER = 10.0
"""For a worker's answer to a question, and for what the server knows beside it."""
REPLY = 20.0
"""For a worker to take up what a person asks for."""
