"""What Schemathesis is told about this gateway; it loads this module in its own process.

Two checks leave out answers of Nexudus that have no content, which OpenAPI cannot express beside
others of the same status that do: an answer without a body has no media type.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

import requests
from schemathesis import Case, CheckContext, HookContext, Response, check, hook
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

SECRET_VARIABLE = "CONFORMANCE_WEBHOOK_SECRET"
SIGNATURE = "X-Nexudus-Hook-Signature"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_of_content",
    "schema_of_content",
    "response_headers_conformance",
)


def _without_content(response: Response) -> bool:
    return (
        response.status_code in (401, 404, 409)
        and not response.content
        and "content-type" not in response.headers
    )


@check
def content_type_of_content(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """The media type of what is there is a declared one."""
    return None if _without_content(response) else content_type_conformance(ctx, response, case)


@check
def schema_of_content(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """What is there is as its schema says."""
    return None if _without_content(response) else response_schema_conformance(ctx, response, case)


class Signer(requests.auth.AuthBase):
    """Signs webhooks as Nexudus does, unless the signature under test is malformed on purpose."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        given = request.headers.get(SIGNATURE, "")
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else body
        if len(given) == 64 and isinstance(raw, bytes):
            secret = os.environ[SECRET_VARIABLE].encode()
            request.headers[SIGNATURE] = hmac.new(secret, raw, hashlib.sha256).hexdigest().upper()
        return request


@hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Webhooks are signed once everything else about them is decided."""
    if case.path.startswith("/hooks/"):
        kwargs["auth"] = Signer()
