"""Situations of which only the Temporal server knows."""

from tests.workflow.situations import Situation

SERVER: list[Situation] = []
