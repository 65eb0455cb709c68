"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    """How a report is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


Plan = Annotated[Path, typer.Argument(metavar="PLAN", help="The environment's plan (YAML).")]
Release = Annotated[Path, typer.Argument(metavar="RELEASE", help="The release (YAML).")]
Name = Annotated[
    str,
    typer.Argument(metavar="ID", help="A deployment's ID, or an environment for its newest."),
]
Overlay = Annotated[
    Path | None,
    typer.Option("--overlay", metavar="FILE", help="Addresses, people and time_scale to change."),
]
LostPlan = Annotated[
    Path | None,
    typer.Option(
        "--plan", metavar="PLAN", help="Find the record by this plan where Temporal has lost it."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Follow = Annotated[bool, typer.Option("--wait", help="Follow it to its end.")]
ExitCode = Annotated[
    bool,
    typer.Option(
        "--exit-code",
        help="Exit as it stands: 0 deployed or under way, 7 waiting for a person, 3 to 6.",
    ),
]
Format = Annotated[Form, typer.Option("--format", help="How to write it.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")
]
Person = Annotated[
    str | None,
    typer.Option(
        "--person",
        envvar="SLIPWAY_PERSON",
        metavar="NAME",
        help="Who you are; your user name when left out.",
    ),
]
Role = Annotated[str, typer.Option("--role", metavar="ROLE", help="Your role in the plan.")]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        "--accept", metavar="RULE", help="A finding about the migrations you accept; repeat it."
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="WHY", help="Kept in the record.")]
NeededReason = Annotated[str, typer.Option("--reason", metavar="WHY", help="Kept in the record.")]
