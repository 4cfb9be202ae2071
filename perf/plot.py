"""Lines over time as SVG: a few panels below each other, one axis of time. Standard library only."""

import dataclasses
import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 860, 150, 70, 190, 40, 44
COLOURS = ["#1f5fa8", "#c8442d", "#3d8b40", "#8a4fa3", "#b8860b", "#5f6b6d"]


@dataclasses.dataclass
class Panel:
    """`lines` is a list of (name, [(seconds, value)…]); `marks` of values with a name, drawn across."""

    title: str
    lines: list
    marks: list = dataclasses.field(default_factory=list)
    log: bool = False


def svg(title, panels, spans=()):
    """`spans` are (from, to, name) of time, shaded in each panel."""
    ends = [at for panel in panels for _, points in panel.lines for at, _ in points]
    longest = max(ends, default=1) or 1
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(LEFT, 18, title, size=14),
    ]
    for number, panel in enumerate(panels):
        parts += draw(panel, TOP + 14 + number * (HEIGHT + GAP), longest, spans)
    return "\n".join([*parts, "</svg>", ""])


def draw(panel, top, longest, spans):
    scale = vertical(panel)
    across = lambda at: LEFT + at / longest * (WIDTH - LEFT - RIGHT)
    down = lambda value: top + HEIGHT * (1 - scale(value))
    parts = [text(LEFT, top - 5, panel.title)]
    for begin, end, name in spans:
        width = across(end) - across(begin)
        parts.append(f'<rect x="{across(begin):.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" fill="#eee"/>')
        parts.append(text(across(begin) + 3, top + HEIGHT - 4, name, colour="#777"))
    for value in ticks(panel):
        parts.append(f'<path d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 5, down(value) + 4, f"{value:g}", anchor="end"))
    for second in range(0, int(longest) + 1, max(1, nice(longest / 8))):
        parts.append(text(across(second), top + HEIGHT + 13, f"{second} s", anchor="middle"))
    for value, name in panel.marks:
        parts.append(f'<path d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}" stroke="#999" stroke-dasharray="5 4"/>')
        parts.append(text(WIDTH - RIGHT + 6, down(value) + 4, name, colour="#777"))
    for number, (name, points) in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(at):.1f},{down(value):.1f}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(text(WIDTH - RIGHT + 6, top + 14 + 15 * number, name, colour=colour))
    return parts


def highest(panel):
    values = [value for _, points in panel.lines for _, value in points] + [value for value, _ in panel.marks]
    return max([value for value in values if math.isfinite(value)], default=1) or 1


def vertical(panel):
    """From a value to its part of the height."""
    most = highest(panel)
    if not panel.log:
        return lambda value: min(1, max(0, value / most))
    return lambda value: min(1, max(0, math.log10(max(value, 0.1) / 0.1) / math.log10(max(most, 1) / 0.1)))


def ticks(panel):
    most = highest(panel)
    if panel.log:
        return [10.0**power for power in range(-1, math.ceil(math.log10(max(most, 1))) + 1) if 10.0**power <= most]
    step = nice(most / 4) if most >= 4 else most / 4
    return [step * n for n in range(int(most / step) + 1)]


def nice(number):
    """The next of 1, 2, 5, 10, 20…"""
    power = 10 ** math.floor(math.log10(max(number, 1)))
    return int(next(step * power for step in (1, 2, 5, 10) if step * power >= number))


def text(x, y, what, size=11, colour="#222", anchor="start"):
    what = html.escape(str(what))
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{what}</text>'
