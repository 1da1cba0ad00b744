"""The constants of the contract are the same in Python and in C++, and they are written in one place of each."""

from __future__ import annotations

import ast
import re

import pytest

from gym_gazebo2 import contract

from .conftest import ROOT

HEADER = ROOT / "gazebo" / "plugin" / "contract.hpp"


def read_header() -> dict[str, object]:
    """Return the constants of the header under their Python names: ``kTouchForce`` is TOUCH_FORCE."""
    rows = re.findall(r"^constexpr [\w ]+?\*? ?k(\w+)(?:\[\])? = (.+?);", HEADER.read_text(), re.MULTILINE)
    return {re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper(): ast.literal_eval(text.replace("'", "_")) for name, text in rows}


def test_python_and_cpp_agree() -> None:
    assert read_header() == {name: value for name, value in vars(contract).items() if name.isupper()}


@pytest.mark.parametrize("folder", ["gym_gazebo2", "gazebo", "algos"])
def test_a_topic_is_named_in_one_place_of_each_language(folder: str) -> None:
    names = [value for name, value in vars(contract).items() if name.endswith("_TOPIC") and len(value) > len("provider")]
    files = [path for kind in ("*.py", "*.cpp", "*.hpp") for path in (ROOT / folder).rglob(kind)]
    assert files
    for path in files:
        if path.name not in ("contract.py", "contract.hpp"):
            found = [name for name in names if re.search(rf"""["/]{re.escape(name)}["']""", path.read_text())]
            assert not found, f"{path} writes {found} instead of a constant of the contract"
