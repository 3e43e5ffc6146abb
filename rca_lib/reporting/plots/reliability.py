"""The picture of reliability: each coefficient of agreement with its interval."""

from __future__ import annotations

from matplotlib.axes import Axes

from rca_lib.questions.reliability import Agreement
from rca_lib.reporting.plots.style import INK, MUTED, new_axes, title_of


def plot_reliability(agreement: Agreement, ax: Axes | None = None) -> Axes:
    """Draw the coefficients that are defined, 0 being chance and 1 full agreement; dotted: .667 and .800."""
    frame = agreement.to_frame()
    ax = new_axes(ax, height=1.4 + 0.3 * len(frame))
    rows = range(len(frame))
    ax.hlines(rows, frame["low"], frame["high"], color=INK, linewidth=1.5)
    marks = frame["measure"].map(lambda name: "o" if name in ("cohen", "fleiss", "alpha", "ac1", "ac2") else "s")
    for row, mark in zip(rows, marks, strict=True):
        ax.plot(frame["value"].iloc[row], row, mark, color=INK)
    for bound in (0.667, 0.8):
        ax.axvline(bound, color=MUTED, linestyle=":")
    ax.set_yticks(rows, frame["measure"])
    ax.invert_yaxis()
    ax.set_xlim(min(0.0, float(frame["low"].min())), 1.02)
    ax.set_xlabel("squares: share that agrees; circles: agreement beyond chance")
    title_of(ax, agreement.summary(), characters=78)
    return ax
