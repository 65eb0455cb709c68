"""Texts that try to be more than text, and status documents in which every text is one of them."""

from typing import Any

from hypothesis import strategies as st

from slipway.messages.aftercare import AftercareState, Look
from slipway.page import plain
from slipway.report import Findings
from slipway.run import Event, Wait
from slipway.states import Phase
from slipway.status import StatusDocument, status_of
from tests.unit.examples import after, rolled_back_run

NASTY = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus=alert(1) x='",
    "javascript:alert(1)",
    "<!--",
    "--><svg/onload=alert(1)>",
    "]]>",
    "&lt;b&gt; &#60;b&#62; &amp",
    "<a href=//evil.example>x</a>",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "[ref]: http://evil.example",
    "<http://evil.example>",
    "# heading",
    "> quote",
    "- item",
    "+ item",
    "1. item",
    "1) item",
    "---",
    "***",
    "===",
    "```",
    "``a`b",
    "~~~",
    "~~x~~",
    "**bold** __bold__ *a* _b_",
    "| a | b |",
    "\\",
    "\\|",
    "    code",
    "\t",
    "line\nbreak\r\n\r\n## heading",
    "\x00\x07\x1b[31m",
    "\u202egnp.exe",
    "\u2028",
    "\ud800",
    "{{7*7}} ${x}",
    "é漢字🚀",
)

texts = (
    st.lists(st.sampled_from(NASTY) | st.text(max_size=12), min_size=1, max_size=4)
    .map(" ".join)
    .filter(lambda text: plain(text) not in ("", "-"))
)
"""Hostile and odd texts with something to see in them."""

_KEPT = {"kind", "decision", "sha256"}
"""Fields that hold one of a few words, or a digest: nothing else is ever parsed into them."""


def findings(text: str) -> Findings:
    """Return findings of a rollback in which every text is this one. Only some lines of the
    timeline keep their own words, so that there are bars, moments and documents."""
    run = rolled_back_run(
        waiting_for=[Wait(kind="operator", what="x", until=after(9), default="x", command="x")],
        aftercare="x",
    )
    status = status_of(run)
    event = Event(at=after(330), phase=Phase.ROLL_BACK, text=text, by=text)
    changed = _replaced(status.model_dump(exclude={"timeline"}), text)
    changed["timeline"] = [*status.timeline, event, event.model_copy(update={"by": ""})]
    seen = AftercareState(
        deployment=text,
        phase=text,
        looks=[Look(at=after(400), kind=text, healthy=False, because=text)],
        items={text: text},
        superseded_by=text,
    )
    return Findings(
        status=StatusDocument.model_validate(changed), because=text, note=text, aftercare=seen
    )


def _replaced(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {
            (text if key.startswith("public.") else key): (
                one if key in _KEPT else _replaced(one, text)
            )
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_replaced(one, text) for one in value]
    return text if type(value) is str and value else value
