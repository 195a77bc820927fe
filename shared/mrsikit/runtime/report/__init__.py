"""The report of a run: figures, a record of each input, and the summary page."""

from mrsikit.runtime.report.figures import draw_case
from mrsikit.runtime.report.handler import RunReport, run_evaluator
from mrsikit.runtime.report.page import write_report
from mrsikit.runtime.report.panels import Panel

__all__ = ["Panel", "RunReport", "draw_case", "run_evaluator", "write_report"]
