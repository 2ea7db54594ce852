"""`bff doctor`: looks at everything around the gateway before members do."""

from bff.doctor.examination import Subject, configured, examine, misconfigured
from bff.doctor.findings import Finding, Result, as_json, worst

__all__ = [
    "Finding",
    "Result",
    "Subject",
    "as_json",
    "configured",
    "examine",
    "misconfigured",
    "worst",
]
