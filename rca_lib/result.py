# Tested in tests/reporting/test_display.py.
"""What all results have in common: a summary, a table, findings, and the display in a notebook.

The base class belongs to the lowest layer, so that every result can inherit it. Charts and HTML belong to a higher
layer. `Result` therefore looks its renderer up by name, and only when a notebook displays a result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

if TYPE_CHECKING:
    from rca_lib.findings import Finding

RENDERER_MODULE = "rca_lib.reporting.display"


class Result(ABC):
    """Base of all results: write the name of a result in a notebook cell to see its summary, chart and table."""

    __slots__ = ()
    max_display_rows: ClassVar[int] = 20  # rows of the table that a notebook displays

    @abstractmethod
    def summary(self) -> str:
        """Return one or two sentences, also if nothing was found."""

    def to_frame(self) -> pd.DataFrame:
        """Return the result as a table."""
        return pd.DataFrame()

    def display_frame(self) -> pd.DataFrame:
        """Return the table that a notebook displays."""
        return self.to_frame()

    def findings(self) -> tuple[Finding[str], ...]:
        """Return the findings, each with its grade and its number."""
        return ()

    def _repr_html_(self) -> str:
        html: str = import_module(RENDERER_MODULE).render_result(self)
        return html

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        # The repr of a result may hold whole tables of audits; a saved notebook keeps the summary only.
        return {"text/html": self._repr_html_(), "text/plain": self.summary()}


@dataclass(frozen=True, slots=True)
class NotAvailable(Result):
    """Stands for a result that the audits cannot give.

    Attributes
    ----------
    reason
        Why, as the end of the sentence "Not available: …".

    Examples
    --------
    >>> NotAvailable("there is no earlier period").summary()
    'Not available: there is no earlier period.'
    """

    reason: str

    def summary(self) -> str:
        """Return the reason as a sentence."""
        return f"Not available: {self.reason}."
