"""The report of a run, and the figures it is made of (:mod:`retrodict.report.figures`).

Importing this package does not import matplotlib.
"""

from .assemble import report_content
from .content import ReportContent
from .fitted import fit_content
from .page import render, write_report
from .result import Result
from .samples import write_samples


__all__ = [
    "ReportContent",
    "Result",
    "fit_content",
    "render",
    "report_content",
    "write_report",
    "write_samples",
]
