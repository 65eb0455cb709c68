"""Encrypts or decrypts one file with age: `age_child.py encrypt|decrypt SOURCE TARGET KEY…`.

A process of its own: pyrage keeps the interpreter to itself while it works, and a worker's
heartbeats would stop. It is run by its path, so it imports nothing of this program. The keys are
recipients, or the one file that holds identities.
"""

import sys
from pathlib import Path

import pyrage


def main(what: str, source: str, target: str, *keys: str) -> None:
    """Do one file. Raises pyrage's errors and OSError."""
    with open(source, "rb") as reader, open(target, "xb") as writer:
        if what == "encrypt":
            to = [pyrage.x25519.Recipient.from_str(one) for one in keys]
            pyrage.encrypt_io(reader, writer, to)
            return
        words = Path(keys[0]).read_text().split()
        secret = [one for one in words if one.startswith("AGE-SECRET-KEY-")]
        pyrage.decrypt_io(reader, writer, [pyrage.x25519.Identity.from_str(one) for one in secret])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # the last line on stderr is what the worker tells
        sys.exit(f"{type(error).__name__}: {error}")
