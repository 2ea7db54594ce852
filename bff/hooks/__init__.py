"""Webhooks of Nexudus: proven by signature, read for ids only, able to invalidate and no more."""

from bff.hooks.deliveries import DeliveryLimits, Effects
from bff.hooks.events import Affected, parse_events
from bff.hooks.receive import (
    SIGNATURE_HEADER,
    Accepted,
    WebhookReceiver,
    read_body,
)
from bff.hooks.verify import signature_is_valid

__all__ = [
    "SIGNATURE_HEADER",
    "Accepted",
    "Affected",
    "DeliveryLimits",
    "Effects",
    "WebhookReceiver",
    "parse_events",
    "read_body",
    "signature_is_valid",
]
