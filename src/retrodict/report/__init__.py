"""The report of a run, and the figures it is made of (:mod:`retrodict.report.figures`).

Importing this package does not import matplotlib.
"""

from .assemble import report_content
from .content import ReportContent
from .page import render, write_report
from .result import Result
from .samples import write_samples


__all__ = [
    "ReportContent",
    "Result",
    "render",
    "report_content",
    "write_report",
    "write_samples",
]
