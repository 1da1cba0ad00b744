"""The cost model of workers, and the tables that benchmarks write with it."""

import numpy as np
import pytest

from benchmarks.cost import TRAININGS, make_table
from benchmarks.distributed import make_model_table
from benchmarks.faults import Delays
from benchmarks.faults import make_table as make_faults_table
from benchmarks.pages import replace_block
from benchmarks.scaling import fit_scaling
from benchmarks.turns import describe_ratios
from benchmarks.wide_area import Link
from benchmarks.wide_area import make_table as make_wide_area_table


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


def test_a_fault_may_delay_an_iteration_by_10_s_or_3_iterations():
    short, long = Delays("a", "hung", 0.5, [1.0, 2.0]), Delays("b", "killed", 5.0, [6.0])
    assert (short.bar_s, long.bar_s) == (10.0, 15.0)
    rows = make_faults_table([short, long]).splitlines()[2:4]
    assert rows == ["| hung, a | 0.5 s | 2 s | 10 s |", "| killed, b | 5 s | 6 s | 15 s |"]


def test_the_table_of_a_wide_area_network_has_times_bytes_and_bars():
    table = make_wide_area_table(Link([0.5, 0.6, 9.0], 150.4, 6.0), Link([0.8], 151.0, 6.0))
    assert "| median iteration | 0.60 s | 0.80 s | 1.00 s |" in table
    assert "| to the learner, per step | 150 bytes | 151 bytes | 160 bytes |" in table


def test_variants_are_compared_turn_by_turn():
    assert describe_ratios([1.0, 2.0, 4.0], [0.5, 2.0, 1.0]) == (2.0, 1.5, 3.0)
    assert describe_ratios([1.0], [0.5]) == (2.0, 2.0, 2.0)
