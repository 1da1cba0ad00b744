"""Prices of machines per hour: one for all, or by type of machine. ``--price-per-hour 0.134`` or ``small=0.05,big=0.2``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from gym_gazebo2.checks import read_number
from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["DEFAULT", "PricePerHour", "describe_prices", "get_price", "read_prices"]

DEFAULT = "default"
"""Key of the price of machines whose type has none."""
FORM = "a price per hour, or TYPE=PRICE,TYPE=PRICE"


def _parse(words: Sequence[str]) -> dict[str, float]:
    return _split(words[0])


PricePerHour = Annotated[
    dict[str, float] | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PRICE|TYPE=PRICE,…",
        instance_from_str=_parse,
        is_instance=lambda value: value is None or isinstance(value, dict),
        str_from_instance=lambda value: [",".join(f"{key}={price:g}" for key, price in (value or {}).items()) or "None"],
    ),
    tyro.conf.arg(help_behavior_hint="(repeatable)"),
]
"""Annotation of a field that holds prices."""


def read_prices(name: str, value: Any) -> dict[str, float] | None:
    """Return type of machine → price per hour; None without a price.

    Args:
        name: Name of the argument, for the error.
        value: A number, a text such as "0.134" or "small=0.05,big=0.2", a dictionary, or None.

    Raises:
        InvalidArgumentError: A price is negative or not finite, or the text has another form.
    """
    if value is None:
        return None
    prices = _split(value) if isinstance(value, str) else value if isinstance(value, Mapping) else {DEFAULT: value}
    expected = "a finite price of at least 0"
    return {str(key): read_number(name, price, expected, lambda x: x >= 0) for key, price in prices.items()} or None


def get_price(prices: Mapping[str, float] | None, kind: str, host: str) -> float | None:
    """Return the price of a machine, by its type, its name, or the price for all; None if it has none."""
    return next((prices[key] for key in (kind, host, DEFAULT) if key in prices), None) if prices else None


def describe_prices(prices: Mapping[str, float]) -> str:
    """Return prices as text, such as "0.134 per hour" or "small 0.05, big 0.2 per hour"."""
    return f"{', '.join(f'{key} {price:g}'.removeprefix(f'{DEFAULT} ') for key, price in prices.items())} per hour"


def _split(text: str) -> dict[str, float]:
    """Return type → price of a text. Signs are checked later, so that every value gets the same error."""
    prices = {}
    for word in text.split(","):
        key, equals, price = word.rpartition("=")
        try:
            prices[key.strip() if equals else DEFAULT] = float(price)
        except ValueError as error:
            raise InvalidArgumentError("price_per_hour", text, FORM) from error
    if "" in prices:
        raise InvalidArgumentError("price_per_hour", text, FORM)
    return prices
