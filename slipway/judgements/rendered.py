"""Whether a page shows in a browser what it must show."""

from slipway.checks import HtmlPage

_SHOWN = 160


def missing(page: HtmlPage, text: str) -> str | None:
    """Return the first expected text that a page does not show; runs of blanks count as one."""
    shown = " ".join(text.split())
    return next((one for one in page.rendered if " ".join(one.split()) not in shown), None)


def judge_rendered(page: HtmlPage, text: str, complaint: str, *, stuck: bool) -> str:
    """Return what is wrong with a page, or the empty text. `complaint`: the first uncaught error of
    its scripts; `stuck`: one of them does not come to an end."""
    lacking = missing(page, text)
    if lacking is None:
        return ""
    shown = " ".join(text.split())
    instead = f"it shows {shown[:_SHOWN]!r}" if shown else "it stays empty"
    if stuck:
        instead = "a script of it does not come to an end"
    said = f"; its script says {complaint!r}" if complaint else ""
    return f"a browser shows {lacking!r} nowhere on {page.path}: {instead}{said}"
