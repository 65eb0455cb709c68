"""A run over time, drawn. Widths are shares, so that it fits a telephone as it fits paper."""

from slipway.base import say_length
from slipway.html_parts import cell, words
from slipway.page import Bar, Bars

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_MOST_TICKS = 6
_THINNEST = 0.4
"""Per cent of the axis that a bar is wide at least, so that it can be seen."""


def bars(block: Bars) -> list[str]:
    """Return bars on one axis of time, as a table whose words suffice."""
    ticks = _ticks(block.length)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("What", "Began", "Took"))
    axis = f'<th scope="col" class="picture">{_axis(block, ticks)}</th>'
    rows = [_bar(block, ticks, one) for one in block.rows]
    return [
        '<table class="bars">',
        f"<thead><tr>{head}{axis}</tr></thead>",
        "<tbody>",
        *rows,
        "</tbody>",
        "</table>",
        _legend(block),
    ]


def _bar(block: Bars, ticks: list[float], one: Bar) -> str:
    cells = (
        cell("Began", words(one.began), "tight"),
        cell("Took", words(one.took), "tight"),
        f'<td class="picture">{_drawn(block, ticks, one)}</td>',
    )
    return f'<tr><th scope="row">{words(one.label)}</th>{"".join(cells)}</tr>'


def _ticks(length: float) -> list[float]:
    step = next((one for one in _STEPS if length / one <= _MOST_TICKS), length / _MOST_TICKS)
    return [step * number for number in range(int(length / step) + 1)]


def _axis(block: Bars, ticks: list[float]) -> str:
    texts = "".join(
        f'<text x="{_share(at, block)}" y="14" text-anchor="{_anchor(at, block)}">'
        f"{say_length(at) if at else '0'}</text>"
        for at in ticks
    )
    return (
        f'<svg width="100%" height="18" role="img" aria-label="Time since the start">{texts}</svg>'
    )


def _anchor(at: float, block: Bars) -> str:
    if at == 0:
        return "start"
    return "end" if at / block.length > 0.95 else "middle"


def _drawn(block: Bars, ticks: list[float], bar: Bar) -> str:
    lines = [_line("grid", at, block) for at in ticks]
    left = min(max(bar.start / block.length * 100, 0.0), 100 - _THINNEST)
    wide = min(max((bar.end - bar.start) / block.length * 100, _THINNEST), 100 - left)
    place = f'x="{left:.2f}%" width="{wide:.2f}%" y="3" height="14" rx="2"'
    lines.append(f'<rect class="{bar.kind}" {place}/>')
    if block.mark is not None:
        lines.append(_line("decided", block.mark, block))
    return f'<svg width="100%" height="20" aria-hidden="true">{"".join(lines)}</svg>'


def _line(kind: str, at: float, block: Bars) -> str:
    x = _share(at, block)
    return f'<line class="{kind}" x1="{x}" x2="{x}" y1="-4" y2="24"/>'


def _share(at: float, block: Bars) -> str:
    return f"{min(max(at / block.length, 0.0), 1.0) * 100:.2f}%"


def _legend(block: Bars) -> str:
    kinds = {one.kind for one in block.rows}
    names = {"work": "at work", "wait": "waiting for people or the window", "undo": "putting back"}
    parts = [
        (f'<rect class="{kind}" width="12" height="12" rx="2"/>', name)
        for kind, name in names.items()
        if kind in kinds
    ]
    if block.mark is not None:
        line = '<line class="decided" x1="6" x2="6" y1="0" y2="12"/>'
        parts.append((line, "the decision to roll back"))
    keys = "".join(
        f'<span><svg width="12" height="12" aria-hidden="true">{drawn}</svg>{name}</span>'
        for drawn, name in parts
    )
    since = block.begin.strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<p class="legend"><span>Time since {since}.</span> {keys}</p>'
