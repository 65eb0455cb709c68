"""Results as a table for people. Pure."""

from collections.abc import Sequence

from benchmarks.figures import Figure, Result

_HEAD = ("what", "size", "target", "median (min to max)", "")
_VERDICTS = {True: "reached", False: "FALLS SHORT", None: ""}


def rendered(results: Sequence[Result]) -> str:
    """Return a table in Markdown, which is also readable as it stands."""
    lines: list[tuple[str, ...]] = [_HEAD]
    notes: list[str] = []
    for result in results:
        for figure in result.figures:
            lines.append(_line(figure, result.size))
            if figure.note and figure.note not in notes:
                notes.append(figure.note)
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    drawn = [_drawn(line, widths) for line in lines]
    drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*drawn, "", *[f"- {one}" for one in notes]]).rstrip() + "\n"


def _line(figure: Figure, size: str) -> tuple[str, ...]:
    found = figure.measured
    middle, low, high = (number(one) for one in (found.median, found.lowest, found.highest))
    unit = figure.unit if figure.unit in ("x", "") else f" {figure.unit}"
    target = "" if figure.target is None else f"≤ {number(figure.target)}{unit}"
    middle = middle + unit
    measured = middle if found.runs == 1 else f"{middle} ({low} to {high})"
    return figure.what, size, target, measured, _VERDICTS[figure.reached]


def number(value: float) -> str:
    """Return three significant digits without an exponent; whole numbers as they are."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:.{digits - 1}f}" if abs(value) >= 1 else f"{value:.3g}"


def _drawn(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
    return f"| {' | '.join(cells)} |"
