"""The command line with another patience than people have:
`python -m tests.workflow.patient_cli SECONDS COMMAND …`."""

import sys

from starter import patience
from starter.cli import main

PATIENT = ("-m", "tests.workflow.patient_cli", "120")
"""Where a worker answers, however late."""
IMPATIENT = ("-m", "tests.workflow.patient_cli", "2")
"""Where none does, so that it is waited out."""

if __name__ == "__main__":
    patience.ANSWER = patience.REPLY = float(sys.argv.pop(1))
    patience.CONNECT = 120.0
    main()
