"""The report of a run, and the figures it is made of (:mod:`retrodict.report.figures`).

Importing this package does not import matplotlib.
"""

from .content import ReportContent
from .page import render, write_report


__all__ = ["ReportContent", "render", "write_report"]
