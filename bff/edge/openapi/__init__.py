"""`/openapi.json`: the gateway's own routes in OpenAPI 3.1, written out beside them.

What is forwarded is Nexudus' to document. A test compares the routes with the document both ways.
"""

from bff.edge.openapi.document import describe
from bff.edge.openapi.endpoint import OpenApiEndpoint

__all__ = ["OpenApiEndpoint", "describe"]
