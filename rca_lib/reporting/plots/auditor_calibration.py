# Tested in tests/questions/test_auditor_calibration.py.
"""Chart of the strictness of each auditor."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.questions.auditor_calibration import AuditorCalibration
from rca_lib.reporting.plots.style import ACCENT, INK, MUTED, create_axes, set_title


def plot_auditor_calibration(calibration: AuditorCalibration, ax: Axes | None = None) -> Axes:
    """Draw each auditor's ratio of errors to those of the median auditor, with its interval.

    A diamond marks an auditor who is proven to differ.

    Parameters
    ----------
    calibration
        The result of `compare_auditors`.
    ax
        The axes to draw into; new axes by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the chart.
    """
    auditors = calibration.auditors
    ax = create_axes(ax, height=1.4 + 0.25 * len(auditors))
    for row, auditor in enumerate(auditors):
        color, marker = (ACCENT, "D") if auditor.differs else (INK, "o")
        ax.hlines(row, auditor.error_ratio.low, auditor.error_ratio.high, color=color, linewidth=1.5)
        ax.plot(auditor.error_ratio.value, row, marker, color=color)
    ax.axvline(1.0, color=MUTED, linestyle=":")
    ax.set_yticks(range(len(auditors)), [auditor.auditor for auditor in auditors], parse_math=False)
    ax.invert_yaxis()
    ax.set_xlabel("errors found, relative to the median auditor on the same decisions")
    set_title(ax, calibration.summary())
    return ax
