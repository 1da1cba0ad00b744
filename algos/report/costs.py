"""What trainings cost: machine-hours, and money where prices are known, beside the 2019 paper's figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gym_gazebo2.algos.report import page
from gym_gazebo2.algos.report.page import text
from gym_gazebo2.algos.report.run_data import RunData
from gym_gazebo2.algos.runs.machines import Holding, compute_cost, count_hours, merge_holdings
from gym_gazebo2.algos.settings.prices import DEFAULT, describe_prices, get_price

__all__ = ["PAPER_COST", "PAPER_HOURS", "PAPER_PRICE", "find_prices", "list_unpriced", "make_costs", "name_cost"]

PAPER_HOURS, PAPER_PRICE, PAPER_COST = 1603.0, 0.134, 214.80
"""Machine-hours, euros per hour and euros of all experiments of the gym-gazebo2 paper (arXiv:1903.06278)."""

Prices = Mapping[str, float]


def find_prices(runs: Iterable[RunData], prices: Prices | None) -> Prices | None:
    """Return the given prices, else those that all runs store; None without any, and where runs store different ones."""
    stored = [run.config.price_per_hour for run in runs]
    return prices or (stored[0] if stored and all(one == stored[0] for one in stored) else None)


def name_cost(prices: Prices) -> str:
    """Return the name of the cost: "cost at 0.134 per hour" for a single price, else "cost"."""
    return f"cost at {describe_prices(prices)}" if list(prices) == [DEFAULT] else "cost"


def list_unpriced(holdings: Iterable[Holding], prices: Prices) -> list[str]:
    """Return the machines without a price: name, and type where they have one."""
    names = [(one.host, one.type) for one in holdings if get_price(prices, one.type, one.host) is None]
    return [f"{host} ({kind})" if kind else host for host, kind in dict.fromkeys(names)]


def make_costs(runs: Sequence[RunData], others: Sequence[Holding], prices: Prices | None, has_paper: bool) -> str:
    """Return the section of a comparison with the cost of all its runs together.

    Args:
        runs: The runs.
        others: Times for which machines were held besides: those of a sweep.
        prices: Type of machine → price per hour; None: unknown.
        has_paper: Whether the paper trained one of these arms.
    """
    holdings = merge_holdings([*others, *(one for run in runs for one in run.holdings)])
    cost = compute_cost(holdings, prices)
    recorded = {one.host for run in runs for one in run.held} | {one.host for one in others}
    rows = [
        ("runs", f"{len(runs)}", "more than 1,040"),
        ("machines", f"{len(recorded)}" if recorded else "–", "12"),
        ("machine-hours", f"{count_hours(holdings):,.4g}", f"{PAPER_HOURS:,.0f}"),
        ("price of a machine", describe_prices(prices) if prices else "–", f"{PAPER_PRICE} € per hour"),
        ("cost", "–" if cost is None else f"{cost:,.3g}", f"{PAPER_COST:.2f} €"),
    ]
    cells = [[text(cell) for cell in row[: 3 if has_paper else 2]] for row in rows]
    head = ("", "here", "2019 paper, all experiments") if has_paper else ()
    notes = ["A machine that several runs held at the same time counts once."]
    if missing := list_unpriced(holdings, prices) if prices else []:
        notes.append(f"No price is given for: {', '.join(missing)}.")
    if old := sum(not run.held for run in runs):
        notes.append(f"{old} runs of older versions have no record of their machines; they count with their wall time.")
    hint = "" if prices else '<p class="note screen">For the cost in money, use <code>--price-per-hour</code>.</p>'
    about = f'<p class="about">{text(" ".join(notes))}</p>'
    return f"<section><h2>Cost of all runs</h2>{about}{page.make_table(head, cells, 'narrow')}{hint}</section>"
