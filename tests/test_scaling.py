"""The cost model of workers, and the tables that benchmarks write with it."""

import numpy as np
import pytest

from benchmarks.cost import TRAININGS, make_table
from benchmarks.distributed import make_model_table
from benchmarks.pages import replace_block
from benchmarks.scaling import fit_scaling


def test_the_fit_is_exact_for_times_of_the_model():
    rng = np.random.default_rng(0)
    for _ in range(20):
        fixed, shared = rng.uniform(0.01, 5.0, 2)
        model = fit_scaling({n: fixed + shared / n for n in (1, 2, 4, 8)})
        assert model.predict(64) == pytest.approx(fixed + shared / 64, rel=1e-9)
        assert (model.fixed_s, model.shared_s) == pytest.approx((fixed, shared))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({2: 3.0}, (0.0, 6.0)),  # one measurement: all is taken to be shared
        ({1: 1.0, 2: 0.4}, (0.0, 8 / 9)),  # faster than by the number of workers
        ({1: 1.0, 2: 1.2}, (1.1, 0.0)),  # slower with more workers
    ],
)
def test_no_part_of_the_model_is_negative(times, expected):
    model = fit_scaling(times)
    assert (model.fixed_s, model.shared_s) == pytest.approx(expected)


def test_the_table_marks_what_is_extrapolated():
    table = make_model_table({"steps of 1 ms": {"1 workers": 1.0, "2 workers": 0.6, "4 workers": 0.4}})
    row = next(line for line in table.splitlines() if line.startswith("| an arm whose step takes 1 ms"))
    assert [cell.strip() for cell in row.split("|")[2:6]] == ["1 ×", "1.7 ×", "2.5 ×", "≈ 3.3 ×"]
    assert "0.2 + 0.8 / n s" in row and row.count("≈") == 4


def test_a_block_of_a_document_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one: begin -->\nold\n<!-- end -->\n<!-- two: begin -->\nkept\n<!-- end -->\n")
    replace_block(page, "one", "new")
    assert page.read_text() == "a\n<!-- one: begin -->\nnew\n<!-- end -->\n<!-- two: begin -->\nkept\n<!-- end -->\n"
    with pytest.raises(ValueError, match="has no block <!-- three: begin -->"):
        replace_block(page, "three", "new")


def test_the_paper_s_grid_needs_runs_of_both_arms():
    with pytest.raises(SystemExit, match=f"There is no finished run of {next(iter(TRAININGS))} with workers"):
        make_table([], 0.134)
