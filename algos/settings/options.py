"""Dictionaries on the command line: ``--hyper KEY=VALUE``, ``--hyper.KEY VALUE`` and ``--env.KEY VALUE``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from gym_gazebo2.algos.settings.values import parse_assignments

__all__ = ["ENV", "EnvKwargs", "Hyperparameters", "StartFrom", "join_assignments"]

HYPER, ENV = "--hyper", "--env.KEY"
"""Options that take KEY=VALUE words. Users write the second one with the key in its name; the help shows it so."""
PRICE = "--price-per-hour"
"""Option that takes one word, and that may be given several times."""


def _make_option(metavar: str) -> PrimitiveConstructorSpec[dict[str, Any]]:
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=metavar,
        instance_from_str=parse_assignments,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [f"{name}={item}" for name, item in value.items()],
    )


Hyperparameters = Annotated[
    dict[str, Any], _make_option("KEY=VALUE …"), tyro.conf.arg(name=HYPER[2:], help_behavior_hint="(repeatable)")
]
EnvKwargs = Annotated[dict[str, Any], _make_option("VALUE"), tyro.conf.arg(name=ENV[2:], help_behavior_hint="(repeatable)")]

StartFrom = Annotated[str | None, tyro.conf.arg(name="from")]
"""The path of a model. Its option is --from, which is no name in Python."""


def join_assignments(args: Sequence[str]) -> list[str]:
    """Return arguments with all ``--hyper …``, ``--hyper.KEY VALUE`` and ``--env.KEY VALUE`` as one option each, at the end.

    An argument parser would treat each dotted option as an option of its own. Of several equal options it would keep only
    the last. Several ``--price-per-hour WORD`` become one, with commas.
    """
    words, rest, prices = list(args), list[str](), list[str]()
    joined: dict[str, list[str]] = {HYPER: [], ENV: []}
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        option, dot, key = name.partition(".")
        if dot and option in ("--hyper", "--env"):
            value = value if equals else (words.pop(0) if words else "")
            joined[HYPER if option == "--hyper" else ENV].append(f"{key}={value}")
        elif word == HYPER:
            while words and not words[0].startswith("--"):
                joined[HYPER].append(words.pop(0))
        elif name == HYPER:
            joined[HYPER].append(value)
        elif name == PRICE and (equals or words):
            prices.append(value if equals else words.pop(0))
        else:
            rest.append(word)
    rest += [f"{PRICE}={','.join(prices)}"] if prices else []
    return rest + [word for option, found in joined.items() if found for word in (option, *found)]
