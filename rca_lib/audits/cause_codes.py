"""Which cause of a taxonomy stands for what the questions find, whatever its codes are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which reads the file with these names
    from rca_lib.audits.taxonomy_file import Taxonomy

# The code of the default taxonomy for each event type, and for each kind of finding.
USUAL = {
    "policy_update": "TRN.UPD",
    "tool_release": "TOL.BUG",
    "hiring_class": "TRN.ONB",
    "training_wave": "TRN.MATERIAL",
    "routing_change": "PRC.ROUTE",
    "staffing": "PRC.STAFF",
    "target_change": "PRC.SPEED",
    "sampling_change": "MEA.SAMPLE",
    "truth_change": "MEA.GT_STALE",
    "outage": "ENV.OUTAGE",
    "external": "ENV.MIX",
    "stale truth": "MEA.GT_STALE",
    "auditors": "MEA.GT_WRONG",
    "dispute": "MEA.GT_WRONG",
    "sampling": "MEA.SAMPLE",
    "mix": "ENV.MIX",
    "one rater": "PPL.KNOW",
    "new starters": "TRN.ONB",
}
MEASUREMENT = ("sampling_change", "truth_change", "stale truth", "auditors", "dispute", "sampling")


def code_of(taxonomy: Taxonomy, subject: str) -> str:
    """Return the code that a taxonomy has for an event type or a kind of finding.

    Parameters
    ----------
    taxonomy
        The taxonomy in use; its `cause_of` names codes of its own.
    subject
        An event type, a key of `USUAL`, or "" for no cause found.

    Returns
    -------
    str
        What `cause_of` says, else the default taxonomy's code where it is there, else the first cause of measurement
        for what concerns the measurement, else the taxonomy's unknown code.

    Examples
    --------
    >>> from rca_lib.audits.taxonomy_file import read_taxonomy
    >>> code_of(read_taxonomy(), "policy_update"), code_of(read_taxonomy(), "")
    ('TRN.UPD', 'UNK.UNK')
    """
    code = taxonomy.cause_of.get(subject, USUAL.get(subject, taxonomy.unknown))
    if code in taxonomy.causes:
        return code
    measured = [code for code, cause in taxonomy.causes.items() if cause.measurement]
    # A bone, such as "Measurement", says no more than the finding does; a cause below it may say something else.
    return measured[0] if subject in MEASUREMENT and measured else taxonomy.unknown


def usual_code(taxonomy: Taxonomy, code: str) -> str:
    """Return the default taxonomy's code for what a code of this taxonomy stands for; the code itself where none is.

    Examples
    --------
    >>> from rca_lib.audits.taxonomy_file import read_taxonomy
    >>> usual_code(read_taxonomy(), "PPL.SLIP")
    'PPL.SLIP'
    """
    if code in USUAL.values():
        return code
    return next((USUAL[subject] for subject in USUAL if code_of(taxonomy, subject) == code), code)
