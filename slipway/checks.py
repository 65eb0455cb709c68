"""Checks written down in the plan: health bodies, pages, log heartbeats, and flows of requests."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from slipway.base import Document, Length, Line, Name, Reference, added

LONGEST_WITHIN = 15.0
"""Seconds that one step of a flow may wait: a whole try of a flow has 20."""
Path = Annotated[str, StringConstraints(pattern=r"^/[^\s]*$", max_length=500)]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/[^/]*)*$", max_length=200)]
"""A JSON pointer (RFC 6901): `/token`, `/items/0/id`, or the empty text for the whole body."""
Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class Health(Document):
    """The health endpoint and the exact body it must return."""

    path: Path = "/health"
    body: dict[str, Any] = {"status": "UP"}


class HtmlPage(Document):
    """A page that must be HTML and contain these texts."""

    path: Path = "/"
    contains: list[Line] = Field(min_length=1, max_length=20)
    rendered: list[Line] = added([], max_length=20)
    """Texts that a browser must show once the page's scripts have run. Needs a browser where the
    worker runs (`SLIPWAY_BROWSER`)."""


class LogHeartbeat(Document):
    """A line that a service without HTTP writes while it is alive."""

    pattern: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    max_silence: Length = 60.0


class Expect(Document):
    """What an answer must be like. Everything given must hold."""

    status: int = Field(default=200, ge=100, le=599)
    content_type: Line | None = None
    """The answer's media type must begin with this text."""
    contains: list[Line] = Field(default=[], max_length=20)
    equals: dict[Pointer, Any] = {}
    """JSON pointer to the exact value expected there."""
    present: list[Pointer] = Field(default=[], max_length=20)
    """JSON pointers that must lead to a value that is neither null nor empty."""


class Step(Document):
    """One request of a flow. `{name}` in path, headers and body is replaced by a captured value;
    `{unique}` by a text that differs in every run."""

    name: Line
    service: Name | None = None
    """Which service is asked; the flow's own service when left out."""
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: Path
    headers: dict[str, Line] = {}
    body: dict[str, Any] | None = None
    expect: Expect = Expect()
    within: Length | None = added(None, le=LONGEST_WITHIN)
    """For what is done after an answer, such as a report that is being made: the step is asked
    again each second until its answer is as expected, for so long (never divided by time_scale)."""
    capture: dict[Variable, Pointer] = {}

    @model_validator(mode="after")
    def _only_reading_is_repeated(self) -> Self:
        if self.within is not None and self.method != "GET":
            raise ValueError(f"step {self.name!r}: `within` is for GET, {self.method} is sent once")
        return self


class Flow(Document):
    """A critical function or smoke flow: requests in order, the first failure ends it."""

    name: Line
    service: Name | None = None
    secrets: dict[Variable, Reference] = {}
    """Values that `{name}` stands for and that only the worker may know."""
    cookies: bool = added(True)
    """Whether cookies that answers set are sent with the flow's later steps, as a browser does.
    Each try of the flow begins without any."""
    steps: list[Step] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _every_step_has_a_service(self) -> Self:
        for step in self.steps:
            if step.service is None and self.service is None:
                raise ValueError(f"flow {self.name!r}: step {step.name!r} names no service")
        return self
