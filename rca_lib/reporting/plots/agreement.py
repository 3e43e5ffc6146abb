# Tested in tests/questions/test_agreement.py.
"""Chart of the coefficients of agreement."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.questions.agreement import COEFFICIENTS, RELIABLE_ALPHA, TENTATIVE_ALPHA, Agreement
from rca_lib.reporting.plots.style import INK, MUTED, create_axes, set_title


def plot_agreement(agreement: Agreement, ax: Axes | None = None) -> Axes:
    """Draw percent agreement (squares) and coefficients (circles) with their intervals.

    0 is agreement by chance, 1 full agreement. Dotted lines mark alphas of .667 and .800.

    Parameters
    ----------
    agreement
        The result of `measure_agreement`.
    ax
        The axes to draw into; new axes by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the chart.
    """
    frame = agreement.to_frame()
    ax = create_axes(ax, height=1.4 + 0.3 * len(frame))
    rows = range(len(frame))
    ax.hlines(rows, frame["low"], frame["high"], color=INK, linewidth=1.5)
    is_coefficient = frame["measure"].isin(COEFFICIENTS.values())
    for row, value, circle in zip(rows, frame["value"], is_coefficient, strict=True):
        ax.plot(value, row, "o" if circle else "s", color=INK)
    for limit in (TENTATIVE_ALPHA, RELIABLE_ALPHA):
        ax.axvline(limit, color=MUTED, linestyle=":")
    ax.set_yticks(rows, frame["measure"])
    ax.invert_yaxis()
    ax.set_xlim(min(0.0, float(frame["low"].min())), 1.02)
    ax.set_xlabel("squares: percent agreement; circles: agreement beyond chance")
    set_title(ax, agreement.summary(), characters=78)
    return ax
