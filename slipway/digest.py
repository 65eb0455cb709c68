"""Digests of what people approve: canonical JSON, SHA-256."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def canonical(value: Any) -> bytes:
    """Return sorted, compact, ASCII JSON of plain data or a model."""
    data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256_of(value: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of plain data or a model."""
    return hashlib.sha256(canonical(value)).hexdigest()
