"""Plots as data, drawn to SVG. Colours, font and line widths come from the page's style sheet, so one drawing fits each scheme.

The SVG stands inside a page. Every drawn element has a class of ``page.css``, and its colour in the CSS variable ``--c``.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.report.curves import thin
from gym_gazebo2.algos.report.scales import Scale, choose_factor, format_tick, span

__all__ = ["Circle", "Drawing", "Plot", "Series", "draw", "name_color"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Kind = Literal["line", "points", "dots", "cross", "band"]

NUM_COLORS = 8
"""The style sheet names the colours c0 to c7."""
MOST_DOTS, MOST_POINTS, MOST_HINTS = 12_000, 800, 160
"""Largest number of points drawn for a series of dots, drawn for any other series, and with a hint under the pointer.

They bound the size of the page."""
MARGIN = (46.0, 10.0, 12.0, 42.0)
"""Space around the frame, for labels: left, right, top, bottom [px]."""
OVERHANG = 3.0
"""Marks may extend this far beyond the frame [px], so that the first and last ones are whole."""
CROSS = 7.5
"""Length of each arm of a cross [px]."""
X_INTERVALS, Y_INTERVALS = 6, 5
"""Most intervals between the ticks of an axis."""


@dataclasses.dataclass(frozen=True)
class Series:
    """Points of a plot that are drawn alike.

    Attributes:
        label: Name in the legend; "" for none.
        x: (n,) places.
        y: (n,) values; for a band, its lower edge.
        kind: "line", "points" (joined unless they have names), "dots" (many small points), "cross" or "band".
        color: Number of the page's colour; None is the text's colour.
        high: (n,) upper edge of a band.
        names: (n,) texts to show for the points under the pointer; empty: the series' label and the point's values.
    """

    label: str
    x: Array
    y: Array
    kind: Kind = "line"
    color: int | None = 0
    high: Array | None = None
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Circle:
    """A circle in a plot of positions.

    Attributes:
        label: Name in the legend.
        center: Its centre, in the plot's unit.
        radius: Its radius, in the plot's unit.
        color: Number of the page's colour; None is the text's colour, dashed.
    """

    label: str
    center: tuple[float, float]
    radius: float
    color: int | None = None


@dataclasses.dataclass(frozen=True)
class Plot:
    """The contents of a plot.

    Attributes:
        title: What the values are, with their unit.
        x_label: What the places are, with their unit.
        series: The series, drawn in this order.
        log: Whether the values have a logarithmic axis.
        rules: Values that a dashed horizontal line marks, with their names.
        limits: Ends of the axis of values; None: chosen by the values.
        circles: Circles in a plot of positions.
        reach: For a plot of positions: both axes span ± this, at equal scale. None: the x axis begins at 0.
        size: Width and height [px].
        note: A remark below the plot.
    """

    title: str
    x_label: str
    series: tuple[Series, ...]
    log: bool = False
    rules: tuple[tuple[float, str], ...] = ()
    limits: tuple[float, float] | None = None
    circles: tuple[Circle, ...] = ()
    reach: float | None = None
    size: tuple[int, int] = (380, 260)
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A drawn plot.

    Attributes:
        svg: The picture, to stand inside a page.
        hints: For ``page.js``, one entry per series: name, colour and the points under the pointer, each
            [x px, y px, x, y] and, where it has one, its name.
    """

    svg: str
    hints: list[dict[str, Any]]


def draw(plot: Plot, key: str) -> Drawing:
    """Draw a plot.

    Args:
        plot: The plot.
        key: A name that is unique in the page.
    """
    frame = _make_frame(plot)
    width, height = plot.size
    marks = [_draw_circle(circle, frame) for circle in plot.circles] + [_draw_series(one, frame) for one in plot.series]
    svg = (
        f'<svg role="img" aria-label="{html.escape(plot.title)}" viewBox="0 0 {width} {height}">\n'
        f'<clipPath id="{key}-frame">{frame.make_clip()}</clipPath>\n{_draw_axes(plot, frame)}'
        f'<g clip-path="url(#{key}-frame)">\n{_draw_rules(plot, frame)}{"".join(marks)}</g>\n</svg>'
    )
    hints = [_make_hint(one, frame) for one in plot.series if one.kind not in ("dots", "band") and one.label]
    return Drawing(svg, hints)


def name_color(number: int) -> str:
    """Return the name of a numbered colour in the style sheet."""
    return f"c{number % NUM_COLORS}"


@dataclasses.dataclass(frozen=True)
class _Frame:
    """The two scales of a plot. The y axis of SVG points down, so ``y.start`` is the frame's bottom."""

    x: Scale
    y: Scale

    def make_clip(self) -> str:
        """Return a rectangle around the frame, with room for the marks at its edges."""
        left, top = self.x.start - OVERHANG, self.y.end - OVERHANG
        width, height = self.x.end + OVERHANG - left, self.y.start + OVERHANG - top
        return f'<rect x="{_px(left)}" y="{_px(top)}" width="{_px(width)}" height="{_px(height)}"/>'

    def place(self, series: Series, most: int) -> tuple[Array, Indices]:
        """Return (m, 2) pixels of at most ``most`` points, and their indices. Values without a pixel are left out."""
        kept = thin(len(series.x), most) if len(series.x) else np.empty(0, dtype=np.int64)
        pixels = np.column_stack([self.x.place(series.x[kept]), self.y.place(series.y[kept])])
        known = np.isfinite(pixels).all(axis=1)
        return pixels[known], kept[known]

    def place_inside(self, series: Series, most: int) -> tuple[Array, Indices]:
        """Return the same for the points inside the frame only."""
        pixels, kept = self.place(series, most)
        low, high = np.array([self.x.start, self.y.end]) - 1.0, np.array([self.x.end, self.y.start]) + 1.0
        inside = np.all((pixels >= low) & (pixels <= high), axis=1)
        return pixels[inside], kept[inside]


def _make_frame(plot: Plot) -> _Frame:
    """Return the scales that show the whole plot."""
    (width, height), (left, right, top, bottom) = plot.size, MARGIN
    if plot.reach is not None:  # a square, so that a circle is one
        side = min(width - left - right, height - top - bottom)
        middle = 0.5 * (left + width - right)
        ends = (-plot.reach, plot.reach)
        return _Frame(
            Scale(*ends, middle - 0.5 * side, middle + 0.5 * side), Scale(*ends, height - bottom, height - bottom - side)
        )
    values = [part for one in plot.series for part in (one.y, one.high) if part is not None]
    rules = np.array([value for value, _ in plot.rules])
    low, high = plot.limits or span([*values, rules], log=plot.log)
    _, end = span([np.zeros(1), *(one.x for one in plot.series)], margin=0.02)
    return _Frame(Scale(0.0, end, left, width - right), Scale(low, high, height - bottom, top, plot.log))


def _draw_axes(plot: Plot, frame: _Frame) -> str:
    """Return grid lines, tick labels and the label of the x axis."""
    left, right, top, bottom = frame.x.start, frame.x.end, frame.y.end, frame.y.start
    factor, note = (1.0, "") if plot.log else choose_factor((frame.y.low, frame.y.high))
    x_factor = factor if plot.reach is not None else 1.0  # the axes of a plot of positions share their unit
    grid, labels = [f"M{_px(left)} {_px(bottom)}H{_px(right)}"], []
    for tick in frame.x.list_ticks(X_INTERVALS if plot.reach is None else Y_INTERVALS):
        x = float(frame.x.place(np.array(tick)))
        grid.append(f"M{_px(x)} {_px(top)}V{_px(bottom)}")
        labels.append(_draw_text(x, bottom + 14.0, format_tick(x_factor * tick), "middle"))
    for tick in frame.y.list_ticks(Y_INTERVALS):
        y = float(frame.y.place(np.array(tick)))
        grid.append(f"M{_px(left)} {_px(y)}H{_px(right)}")
        labels.append(_draw_text(left - 6.0, y + 4.5, format_tick(factor * tick), "end"))
    if note and plot.reach is None:
        labels.append(_draw_text(left, top - 3.0, note, "start"))
    x_label = f"{plot.x_label} {note}".strip() if plot.reach is not None else plot.x_label
    labels.append(_draw_text(0.5 * (left + right), bottom + 32.0, x_label, "middle"))
    return f'<path class="gridlines" d="{"".join(grid)}"/>\n{"".join(labels)}\n'


def _draw_text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{_px(x)}" y="{_px(y)}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _draw_rules(plot: Plot, frame: _Frame) -> str:
    values = frame.y.place(np.array([value for value, _ in plot.rules]))
    lines = (f"M{_px(frame.x.start)} {_px(y)}H{_px(frame.x.end)}" for y in values.tolist())
    return f'<path class="rule" d="{"".join(lines)}"/>\n' if plot.rules else ""


def _draw_circle(circle: Circle, frame: _Frame) -> str:
    x, y = (float(scale.place(np.array(at))) for scale, at in zip((frame.x, frame.y), circle.center, strict=True))
    radius = circle.radius * (frame.x.end - frame.x.start) / (frame.x.high - frame.x.low)
    kind = "ring dashed" if circle.color is None else "ring"
    return f'<circle class="{kind}" {_style(circle.color)} cx="{_px(x)}" cy="{_px(y)}" r="{_px(radius)}"/>\n'


def _draw_series(series: Series, frame: _Frame) -> str:
    """Return the marks of a series, few characters per point: a page holds tens of thousands."""
    if series.kind == "dots":
        pixels, _ = frame.place_inside(series, MOST_DOTS)
        return _draw_path("dots", series, (f"M{_px(x)} {_px(y)}h0" for x, y in pixels.tolist()))
    pixels, kept = frame.place(series, MOST_POINTS)
    if series.kind == "band" and series.high is not None:
        edge, _ = frame.place(Series("", series.x[kept], series.high[kept]), MOST_POINTS)
        return _draw_path("band", series, [_join(np.concatenate([pixels, edge[::-1]])), "Z"])
    if series.kind == "cross":
        arms = (f"M{_px(x - CROSS)} {_px(y)}h{2 * CROSS}M{_px(x)} {_px(y - CROSS)}v{2 * CROSS}" for x, y in pixels.tolist())
        return _draw_path("cross", series, arms)
    if series.kind == "line":
        return _draw_path("line", series, [_join(pixels)])
    joined = "" if series.names else _draw_path("joined", series, [_join(pixels)])
    return joined + _draw_path("marks", series, (f"M{_px(x)} {_px(y)}v0" for x, y in pixels.tolist()))


def _draw_path(kind: str, series: Series, parts: Iterable[str]) -> str:
    # A stroke of no length with round ends is a disc: the cheapest way to draw one.
    return f'<path class="{kind}" {_style(series.color)} d="{"".join(parts)}"/>\n'


def _join(pixels: Array) -> str:
    return "M" + "L".join(f"{_px(x)} {_px(y)}" for x, y in pixels.tolist()) if len(pixels) else ""


def _make_hint(series: Series, frame: _Frame) -> dict[str, Any]:
    pixels, kept = frame.place_inside(series, MOST_HINTS)
    names = ([series.names[i]] if series.names else [] for i in kept)
    values = zip(pixels.round(1).tolist(), series.x[kept].tolist(), series.y[kept].tolist(), names, strict=True)
    points = [[x_px, y_px, float(f"{x:.5g}"), float(f"{y:.5g}"), *name] for (x_px, y_px), x, y, name in values]
    return {"name": series.label, "color": _name_paint(series.color), "points": points}


def _style(color: int | None) -> str:
    return f'style="--c:var(--{_name_paint(color)})"'


def _name_paint(color: int | None) -> str:
    return "ink" if color is None else name_color(color)


def _px(value: float) -> str:
    """Return a number of pixels with one digit after the point, which no eye can tell from more."""
    return f"{value:.1f}".removesuffix(".0")
