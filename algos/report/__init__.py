"""What a person wants to see of a run, or of several: one page that holds everything it shows."""

from __future__ import annotations

from gym_gazebo2.algos.report.compare import CompareConfig, compare
from gym_gazebo2.algos.report.rows import PAPER, get_paper, get_paper_title, make_rows
from gym_gazebo2.algos.report.run_page import ReportConfig, write_report

__all__ = ["PAPER", "CompareConfig", "ReportConfig", "compare", "get_paper", "get_paper_title", "make_rows", "write_report"]
