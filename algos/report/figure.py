"""Plots as data, drawn to SVG that takes its colours and font from the page around it."""

from __future__ import annotations

import dataclasses
import html
import io
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.algos.report.curves import thin
from gym_gazebo2.errors import MissingDependencyError

__all__ = ["Circle", "Drawing", "Plot", "Series", "draw", "name_color"]

Array = NDArray[np.float64]
Kind = Literal["line", "points", "dots", "cross", "band"]

INK, MUTED, GRID = "#000001", "#000002", "#000003"
"""Placeholders: the SVG names the page's own colours instead."""
NUM_COLORS = 8
PLACEHOLDERS = {INK: "ink", MUTED: "muted", GRID: "grid"} | {f"#0000{16 + k:02x}": f"c{k}" for k in range(NUM_COLORS)}

MOST_DOTS, MOST_POINTS, MOST_HINTS = 12_000, 800, 160
FONT_SIZE = 12
SCALES = ((0.02, 1.0, ""), (2e-5, 1e3, "×10⁻³"), (0.0, 1e6, "×10⁻⁶"))
"""Least end of an axis, the factor of its labels, and what says so."""
MARGIN = (46.0, 10.0, 12.0, 42.0)
"""Left, right, top, bottom [px]."""


@dataclasses.dataclass(frozen=True)
class Series:
    """Some points of a plot.

    Attributes:
        label: Name in the legend; "" for none.
        x: (n,) places.
        y: (n,) values; for a band, its median is another series.
        kind: How they are drawn.
        color: Number of the page's colour; None is the ink.
        high: (n,) upper edge of a band, whose lower edge is ``y``.
        names: What the points are called when pointed at; empty: by their series.
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
    """A circle of a plot of places."""

    label: str
    center: tuple[float, float]
    radius: float
    color: int | None = None


@dataclasses.dataclass(frozen=True)
class Plot:
    """What a plot shows.

    Attributes:
        title: What the values are, with their unit.
        x_label: What the places are, with their unit.
        series: What is drawn, the later above the earlier.
        log: Whether values have a logarithmic axis.
        rules: Values that a line across marks, with their names.
        limits: Ends of the axis of values; None: by the values.
        circles: Circles of a plot of places.
        reach: Both axes of a plot of places span ± this, at equal scale.
        size: Width and height [px].
        note: What the reader should know besides.
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
        hints: What pointing at it tells: name, colour and [x px, y px, x, y, name] of each series' points.
    """

    svg: str
    hints: list[dict[str, Any]]


def draw(plot: Plot, key: str) -> Drawing:
    """Draw a plot.

    Args:
        plot: What to draw.
        key: A name that is unique in the page.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "train") from error
    settings = {"svg.fonttype": "none", "svg.hashsalt": key, "font.size": FONT_SIZE, "axes.unicode_minus": True}
    with rc_context(settings):
        (width, height), (left, right, top, bottom) = plot.size, MARGIN
        figure = Figure(figsize=(width / 72, height / 72))
        box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        axes = figure.add_axes(box)
        _dress(axes, plot)
        for index, series in enumerate(plot.series):
            _add(axes, series, index)
        for circle in plot.circles:
            _add_circle(axes, circle)
        _set_limits(axes, plot)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        dots = {f"dots-{i}": _make_dots(axes, s, height) for i, s in enumerate(plot.series) if s.kind == "dots"}
        hints = [_make_hint(axes, s, height) for s in plot.series if s.kind not in ("dots", "band") and s.label]
    return Drawing(_clean(stream.getvalue(), plot.title, dots), hints)


def _dress(axes: Any, plot: Plot) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelcolor=MUTED, pad=5)
    if plot.log:
        axes.set_yscale("log")
    for value, _ in plot.rules:
        axes.axhline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))


def name_color(number: int) -> str:
    """Return the CSS variable of a colour's number."""
    return f"c{number % NUM_COLORS}"


def _get_color(number: int | None) -> str:
    return INK if number is None else f"#0000{16 + number % NUM_COLORS:02x}"


def _add(axes: Any, series: Series, index: int) -> None:
    color = _get_color(series.color)
    kept = thin(len(series.x), MOST_POINTS) if len(series.x) else np.empty(0, dtype=np.int64)
    x, y = series.x[kept], series.y[kept]
    if series.kind == "dots":  # drawn by _make_dots at a few characters a dot; here they count for the limits
        (line,) = axes.plot([], [])
        line.set_gid(f"dots-{index}")
        axes.update_datalim(np.column_stack([series.x, series.y]) if len(series.x) else np.empty((0, 2)))
    elif series.kind == "band" and series.high is not None:
        axes.fill_between(x, y, series.high[kept], color=color, alpha=0.18, linewidth=0)
    elif series.kind == "line":
        axes.plot(x, y, color=color, linewidth=1.8, solid_capstyle="round", solid_joinstyle="round")
    elif series.kind == "points":
        axes.plot(x, y, "o-" if _is_joined(series) else "o", color=color, linewidth=1.4, markersize=4.5, markeredgewidth=0)
    elif series.kind == "cross":
        axes.plot(x, y, "+", color=color, markersize=15, markeredgewidth=1.6)


def _is_joined(series: Series) -> bool:
    """Return whether a series' points are joined: not those that have names of their own."""
    return not series.names


def _add_circle(axes: Any, circle: Circle) -> None:
    from matplotlib.patches import Circle as Patch

    color = _get_color(circle.color)
    style = "--" if circle.color is None else "-"
    axes.add_patch(Patch(circle.center, circle.radius, fill=False, edgecolor=color, linewidth=1.2, linestyle=style))


def _set_limits(axes: Any, plot: Plot) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    if plot.reach is not None:
        axes.set_xlim(-plot.reach, plot.reach)
        axes.set_ylim(-plot.reach, plot.reach)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.autoscale_view()
        axes.set_xlim(left=0.0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    if plot.limits is not None:
        axes.set_ylim(*plot.limits)
    if plot.log:
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 50.0 * low else (1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif plot.reach is None:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    largest = 1.0 if plot.log else max(map(abs, axes.get_ylim()))
    factor, mark = next((factor, mark) for least, factor, mark in SCALES if largest >= least)
    axes.text(-0.01, 1.0, mark, transform=axes.transAxes, ha="right", va="bottom", color=MUTED)
    _label(axes.yaxis, factor)
    _label(axes.xaxis, 1.0 if plot.reach is None else factor)
    axes.set_xlabel(plot.x_label if plot.reach is None else f"{plot.x_label} {mark}".strip(), color=MUTED, labelpad=6)


def _label(axis: Any, factor: float) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: _format(factor * value)))


def _format(value: float) -> str:
    """Return a tick's label: few characters, never an exponent that a person must count."""
    size = abs(value)
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e6 if unit == 'M' else 1e3):g}{unit}".replace("-", "−")
    return (f"{value:.0e}" if 0.0 < size < 1e-4 else f"{round(value, 10):g}").replace("-", "−")


def _to_pixels(axes: Any, series: Series, height: float, most: int) -> tuple[Array, NDArray[np.int64]]:
    """Return (m, 2) places in the SVG of at most so many points inside the frame, and their indices."""
    kept = thin(len(series.x), most) if len(series.x) else np.empty(0, dtype=np.int64)
    points = np.column_stack([series.x[kept], series.y[kept]])
    if axes.get_yscale() == "log":
        kept, points = kept[points[:, 1] > 0.0], points[points[:, 1] > 0.0]
    pixels = axes.transData.transform(points) if len(points) else np.empty((0, 2))
    frame = axes.bbox
    inside = np.all((pixels >= (frame.x0 - 1, frame.y0 - 1)) & (pixels <= (frame.x1 + 1, frame.y1 + 1)), axis=1)
    scale = 72.0 / axes.figure.dpi
    pixels = pixels[inside] * scale
    pixels[:, 1] = height - pixels[:, 1]
    return pixels, kept[inside]


def _make_dots(axes: Any, series: Series, height: float) -> str:
    """Return every dot in one path: strokes of no length with round ends."""
    pixels, _ = _to_pixels(axes, series, height, MOST_DOTS)
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in pixels.tolist())
    return f'<path class="dots" style="stroke:{_get_color(series.color)}" d="{path}"/>'


def _make_hint(axes: Any, series: Series, height: float) -> dict[str, Any]:
    pixels, kept = _to_pixels(axes, series, height, MOST_HINTS)
    names = [series.names[i] if series.names else "" for i in kept]
    values = zip(pixels.round(1).tolist(), series.x[kept].tolist(), series.y[kept].tolist(), names, strict=True)
    points = [[px, py, float(f"{x:.5g}"), float(f"{y:.5g}"), *([name] if name else [])] for (px, py), x, y, name in values]
    return {"name": series.label, "color": PLACEHOLDERS[_get_color(series.color)], "points": points}


def _clean(svg: str, title: str, dots: dict[str, str]) -> str:
    """Return the SVG to stand inside a page: the page's colours and font, short numbers, no style sheet of its own."""
    svg = svg[svg.index("<svg") :]
    label = html.escape(title).replace("\\", "")
    svg = re.sub(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', rf'<svg role="img" aria-label="{label}" viewBox="\1">', svg, count=1)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    for key, path in dots.items():
        svg = svg.replace(f'<g id="{key}"/>', path)
    svg = re.sub(r'<g id="(?!m|p)[^"]*"/>', "", svg)
    svg = re.sub(r' id="(?:figure|axes|line2d|text|[xy]tick|patch|matplotlib|FillBetween|PathCollection)[^"]*"', "", svg)
    svg = re.sub(r"font-size: [^;\"]*; font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r' (?:d|x|y|transform|width|height)="[^"]*"', lambda attribute: _shorten(attribute[0]), svg)
    svg = re.sub("#0000[0-9a-f]{2}", lambda color: f"var(--{PLACEHOLDERS.get(color[0], 'ink')})", svg)
    return re.sub(r"\s*\n\s*", "\n", svg).replace("\n\n", "\n").strip()


def _shorten(attribute: str) -> str:
    """Return an attribute with a tenth of a pixel as its smallest number."""
    return re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), attribute)
