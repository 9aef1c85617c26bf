"""Draws charts as SVG: lines with points, and bars. Not a program: `scripts/bench` and `scripts/bench-curves` import it.

A drawing follows from its data alone: the same data give the same bytes. Colours follow the reader's light or dark
scheme. Axes have round ticks, units in their labels, and a whisker shows the lowest and the highest round of a point.
Values of an axis with logarithms must be above 0.
"""

import dataclasses
import html
import math
import textwrap

WIDTH = 760
EDGE = 24
MARGIN_LEFT = 74
MARGIN_RIGHT = 24
PLOT_HEIGHT = 230
BAR_HEIGHT = 22
STYLE = """
svg{--paper:#ffffff;--ink:#1f2328;--soft:#59636e;--grid:#dfe3e8;--c0:#0969da;--c1:#bc4c00;--c2:#1a7f37;--c3:#8250df;--c4:#9a6700;--c5:#bf3989}
@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--soft:#9aa4ae;--grid:#2f363d;--c0:#58a6ff;--c1:#f0883e;--c2:#3fb950;--c3:#bc8cff;--c4:#d29922;--c5:#f778ba}}
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
.h{font-size:16px;font-weight:600}.b{font-weight:600}.n{fill:var(--soft);font-size:12px}
.g{stroke:var(--grid)}.a{stroke:var(--soft)}.k{stroke:var(--ink)}.w{stroke-width:1.5;fill:none}.l{stroke-width:2;fill:none}
""".strip().replace("\n", "")
for colour in range(6):
    STYLE += f".f{colour}{{fill:var(--c{colour})}}.s{colour}{{stroke:var(--c{colour})}}"


@dataclasses.dataclass
class Point:
    """A value with the lowest and the highest of its rounds."""

    x: object
    y: float
    low: float
    high: float


@dataclasses.dataclass
class Lines:
    """A chart of series over an axis of numbers or of names."""

    title: str
    x_label: str
    y_label: str
    series: dict  # name: [Point]
    x_log: bool = False  # Else each x has the same distance to the next.
    y_log: bool = False
    x_text: object = str


@dataclasses.dataclass
class Bars:
    """A chart of horizontal bars from 0, each with its value as text."""

    title: str
    x_label: str
    bars: dict  # name: (Point, text)


def text_of(number):
    """A number for people: no more digits than it needs, with commas in thousands."""
    if number >= 1000 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.4f}".rstrip("0").rstrip(".")


def bytes_text(number):
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size:
            return f"{text_of(number / size)} {unit}"
    return f"{number} B"


def linear_ticks(high, count=6):
    """Round numbers from 0 to the first that is not below `high`."""
    rough = max(high, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * i for i in range(math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low, high):
    """Powers of ten around the values; with 2 and 5 between them if there are few."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    if last - first > 3:
        return [10.0**power for power in range(first, last + 1)]
    ticks = [10.0**power * factor for power in range(first, last) for factor in (1, 2, 5)] + [10.0**last]
    while len(ticks) > 2 and ticks[1] <= low:
        ticks.pop(0)
    while len(ticks) > 2 and ticks[-2] >= high:
        ticks.pop()
    return ticks


class Canvas:
    """Collects elements; escapes each text."""

    def __init__(self):
        self.parts = []

    def text(self, x, y, text, anchor="start", style=""):
        kind = f' class="{style}"' if style else ""
        place = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{place}{kind}>{html.escape(str(text))}</text>')

    def line(self, x1, y1, x2, y2, style):
        self.parts.append(f'<path class="{style}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')

    def path(self, places, style):
        steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        self.parts.append(f'<path class="{style}" d="M{steps}"/>')

    def mark(self, x, y, number, tip=""):
        """A point; each series has a shape of its own, so that it can be told without colours."""
        shapes = ["m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", "m-4 -4h8v8h-8z", "m0 -5l5 9h-10z", "m0 -5l5 5l-5 5l-5 -5z"]
        title = f"<title>{html.escape(tip)}</title>" if tip else ""
        self.parts.append(f'<path class="f{number % 6}" d="M{x:.1f} {y:.1f}{shapes[number % 4]}z">{title}</path>')

    def whisker(self, x1, y1, x2, y2, number=None):
        dx, dy = (0, 3) if y1 == y2 else (3, 0)
        style = "k" if number is None else f"s{number % 6}"
        ends = "".join(f"M{x - dx:.1f} {y - dy:.1f}L{x + dx:.1f} {y + dy:.1f}" for x, y in ((x1, y1), (x2, y2)))
        self.parts.append(f'<path class="w {style}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}{ends}"/>')


def draw_lines(canvas, chart, top):
    """Draws the chart from `top` on, and gives the place below it."""
    canvas.text(EDGE, top + 16, chart.title, style="b")
    legend_at = EDGE
    for number, name in enumerate(chart.series if len(chart.series) > 1 else ()):
        width = 54 + 7.4 * len(name)
        if legend_at > EDGE and legend_at + width > WIDTH:
            legend_at, top = EDGE, top + 22
        canvas.line(legend_at, top + 36, legend_at + 24, top + 36, f"l s{number % 6}")
        canvas.mark(legend_at + 12, top + 36, number)
        canvas.text(legend_at + 30, top + 40, name)
        legend_at += width
    top, left, right = top + (56 if len(chart.series) > 1 else 34), MARGIN_LEFT, WIDTH - MARGIN_RIGHT
    bottom = top + PLOT_HEIGHT
    points = [point for series in chart.series.values() for point in series]
    xs = list(dict.fromkeys(point.x for point in points))
    if chart.x_log:
        xs.sort()
    low, high = min(point.low for point in points), max(point.high for point in points)
    ticks = log_ticks(low, high) if chart.y_log else linear_ticks(high)

    def x_of(x):
        if chart.x_log:
            first, last = math.log(xs[0]), math.log(xs[-1])
            share = (math.log(x) - first) / ((last - first) or 1)
        else:
            share = xs.index(x) / ((len(xs) - 1) or 1)
        return left + 26 + share * (right - left - 56)

    def y_of(y):
        if chart.y_log:
            share = (math.log(y) - math.log(ticks[0])) / (math.log(ticks[-1]) - math.log(ticks[0]))
        else:
            share = (y - ticks[0]) / (ticks[-1] - ticks[0])
        return bottom - share * PLOT_HEIGHT

    for tick in ticks:
        canvas.line(left, y_of(tick), right, y_of(tick), "g")
        canvas.text(left - 8, y_of(tick) + 4, text_of(tick), "end")
    canvas.line(left, bottom, right, bottom, "a")
    for x in xs:
        canvas.line(x_of(x), bottom, x_of(x), bottom + 5, "a")
        canvas.text(x_of(x), bottom + 20, chart.x_text(x), "middle")
    canvas.text((left + right) / 2, bottom + 40, chart.x_label, "middle", "n")
    middle = (top + bottom) / 2
    canvas.parts.append(
        f'<text class="n" text-anchor="middle" transform="translate(16 {middle:.1f})rotate(-90)">{html.escape(chart.y_label)}</text>'
    )
    for number, (name, series) in enumerate(chart.series.items()):
        canvas.path([(x_of(point.x), y_of(point.y)) for point in series], f"l s{number % 6}")
        for point in series:
            x = x_of(point.x)
            if point.low != point.high:
                canvas.whisker(x, y_of(point.low), x, y_of(point.high), number)
            canvas.mark(x, y_of(point.y), number, f"{name}, {chart.x_text(point.x)}: {point.y:.4g}")
    return bottom + 60


def draw_bars(canvas, chart, top):
    """Draws the chart from `top` on, and gives the place below it."""
    canvas.text(EDGE, top + 16, chart.title, style="b")
    # Right of the bars stand their texts.
    top, left, right = top + 32, EDGE + 16 + 7.0 * max(map(len, chart.bars)), WIDTH - 120
    bottom = top + (BAR_HEIGHT + 8) * len(chart.bars) + 4
    ticks = linear_ticks(max(point.high for point, _ in chart.bars.values()))

    def x_of(x):
        return left + x / ticks[-1] * (right - left)

    for tick in ticks:
        canvas.line(x_of(tick), top, x_of(tick), bottom, "g")
        canvas.text(x_of(tick), bottom + 17, text_of(tick), "middle")
    for number, (name, (point, text)) in enumerate(chart.bars.items()):
        y = top + 4 + number * (BAR_HEIGHT + 8)
        canvas.text(left - 10, y + 16, name, "end")
        width = x_of(point.y) - left
        canvas.parts.append(f'<path class="f0" d="M{left:.1f} {y}h{width:.1f}v{BAR_HEIGHT}h-{width:.1f}z"/>')
        if point.low != point.high:
            place = y + BAR_HEIGHT / 2
            canvas.whisker(x_of(point.low), place, x_of(point.high), place)
        canvas.text(x_of(max(point.y, point.high)) + 8, y + 16, text)
    canvas.line(left, top, left, bottom, "a")
    canvas.text((left + right) / 2, bottom + 36, chart.x_label, "middle", "n")
    return bottom + 54


def drawn(title, charts, note):
    """The SVG of charts under each other, with a title above and a note below them."""
    canvas = Canvas()
    canvas.text(EDGE, 30, title, style="h")
    top = 48
    for chart in charts:
        top = (draw_bars if isinstance(chart, Bars) else draw_lines)(canvas, chart, top)
    for line in textwrap.wrap(note, 112):
        canvas.text(EDGE, top + 4, line, style="n")
        top += 17
    height = top + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" '
        f'role="img" aria-label="{html.escape(title)}">\n<style>{STYLE}</style>\n'
        f'<rect width="100%" height="100%" fill="var(--paper)"/>\n' + "\n".join(canvas.parts) + "\n</svg>\n"
    )
