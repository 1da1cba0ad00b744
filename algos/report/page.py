"""Build a self-contained page: style sheet, script and pictures are all part of the file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from gym_gazebo2.algos.report.figure import Circle, Plot, draw, name_color

__all__ = ["Cell", "make_data_uri", "make_figures", "make_grid", "make_page", "make_plot", "make_switch", "make_table", "text"]

Cell = str
"""The content of a table's cell, as HTML."""

LEGEND = {"line": "", "points": "mark", "dots": "dot", "cross": "cross", "band": "band"}
"""A dictionary from the kind of a series to the CSS class of its entry in the legend."""


def text(value: object) -> str:
    """Return a value as HTML text."""
    return html.escape(str(value))


def make_data_uri(content: bytes, kind: str) -> str:
    """Return a file's content as a data URI, such as "data:image/png;base64,…"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def make_page(title: str, body: str) -> str:
    """Return a whole page.

    Args:
        title: Title of the browser's window.
        body: The content of the page, as HTML.
    """
    folder = resources.files("gym_gazebo2.algos.report")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def make_plot(plot: Plot, key: str, classes: str = "") -> str:
    """Return a plot with its title and legend, and with the points that ``page.js`` shows under the pointer.

    Args:
        plot: The plot.
        key: A name that is unique in the page.
        classes: Further CSS classes.
    """
    drawing = draw(plot, key)
    # A name with "</script>" must not end the script: "<" is written as an escape of JSON.
    hints = json.dumps({"x_label": plot.x_label, "series": drawing.hints}, ensure_ascii=False).replace("<", "\\u003c")
    note = f'<p class="note">{text(plot.note)}</p>' if plot.note else ""
    return (
        f'<figure class="plot {classes}" id="{key}"><figcaption><h3>{text(plot.title)}</h3>{_make_legend(plot)}</figcaption>'
        f'{drawing.svg}{note}<script type="application/json">{hints}</script></figure>'
    )


def make_grid(plots: Iterable[str], classes: str = "") -> str:
    """Return plots side by side, as many per row as the page is wide enough for."""
    return f'<div class="grid {classes}">{"".join(plots)}</div>'


def make_switch(name: str) -> str:
    """Return the choice between wall time and steps, to be followed by the grid of the plots.

    It works without a script: the style sheet hides the plots of the other axis.
    """
    inputs = "".join(
        f'<input class="axis" type="radio" name="{name}" id="{name}-{axis}"{" checked" if axis == "wall" else ""}>'
        for axis in ("wall", "steps")
    )
    labels = f'<label for="{name}-wall">wall time</label><label for="{name}-steps">steps</label>'
    return f'{inputs}<div class="switch">{labels}</div>'


def make_table(head: Sequence[str], rows: Iterable[Sequence[Cell]], classes: str = "", caption: str = "") -> str:
    """Return a table. On a narrow screen, each row of a table of class "stack" becomes a list of labelled values.

    Args:
        head: Names of the columns; empty: a table without a head.
        rows: The cells, as HTML.
        classes: CSS classes.
        caption: Text above the table; "" for none.
    """
    labels = [*map(text, head)] if head else None
    top = f"<thead><tr>{''.join(f'<th>{label}</th>' for label in labels)}</tr></thead>" if labels else ""
    cell_labels = labels if "stack" in classes else None
    body = "".join(f"<tr>{''.join(_make_cell(cell, i, cell_labels) for i, cell in enumerate(row))}</tr>" for row in rows)
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table class="{classes}">{title}{top}<tbody>{body}</tbody></table></div>'


def make_figures(values: Mapping[str, tuple[str, str]]) -> str:
    """Return the headline figures of a page, from a dictionary of name → number and unit."""
    items = (f"<div><dd>{text(v)}<small>{text(unit)}</small></dd><dt>{text(k)}</dt></div>" for k, (v, unit) in values.items())
    return f'<dl class="figures">{"".join(items)}</dl>'


def _make_cell(cell: Cell, index: int, labels: list[str] | None) -> str:
    label = f' data-label="{labels[index]}"' if labels and index else ""
    return f"<td{label}>{cell}</td>"


def _make_legend(plot: Plot) -> str:
    items = [_make_entry(series.label, LEGEND[series.kind], series.color) for series in plot.series if series.label]
    items += [_make_entry(circle.label, _name_ring(circle), circle.color) for circle in plot.circles if circle.label]
    items += [_make_entry(label, "dash", None, "muted") for _, label in plot.rules if label]
    return f'<ul class="legend">{"".join(items)}</ul>' if len(items) > 1 else ""


def _name_ring(circle: Circle) -> str:
    return "ring ink" if circle.color is None else "ring"


def _make_entry(label: str, kind: str, color: int | None, default: str = "ink") -> str:
    name = default if color is None else name_color(color)
    return f'<li class="{kind}" style="--c:var(--{name})"><i></i>{text(label)}</li>'
