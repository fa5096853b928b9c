"""`report.html`: a run in one self-contained page, with no script and nothing that is fetched."""

from seqexpr.evaluation.report.page import write_report

__all__ = ["write_report"]
