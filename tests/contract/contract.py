"""Reading an OpenAPI 3.1 document as a contract, and holding answers against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx
import orjson
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

Json = dict[str, Any]

METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "options", "trace"})


class ContractError(AssertionError):
    """An answer, or an example, is not what the document says."""


@dataclass(frozen=True, slots=True)
class Contract:
    """A document whose references are all to its own components."""

    document: Json

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Path, method in lower case, operation."""
        for path, item in self.document["paths"].items():
            for method in METHODS & item.keys():
                yield path, method, item[method]

    def resolved(self, thing: Mapping[str, Any]) -> Json:
        """What a Reference Object stands for; anything else as it is."""
        while "$ref" in thing:
            found: Any = self.document
            for name in thing["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            thing = found
        return cast(Json, thing)

    def validate(self, value: object, schema: Mapping[str, Any]) -> None:
        """Raises ContractError unless `value` is as `schema`, a part of the document, says."""
        rooted = {**schema, "components": self.document["components"]}
        faults = [
            f"{fault.json_path}: {fault.message}"
            for fault in Draft202012Validator(rooted).iter_errors(value)
        ]
        if faults:
            raise ContractError("\n".join(faults))

    def validate_as(self, value: object, name: str) -> None:
        """The same for a schema of the components."""
        self.validate(value, {"$ref": f"#/components/schemas/{name}"})

    def check(self, path: str, answer: httpx.Response) -> None:
        """Raises ContractError unless the answer to a request of `path` is a declared one."""
        method = answer.request.method.lower()
        declared = self.document["paths"][path][method]["responses"]
        status = str(answer.status_code)
        response = declared.get(status, declared.get(f"{status[0]}XX"))
        if response is None:
            raise ContractError(f"{method} {path}: {status} is not declared")
        response = self.resolved(response)
        self._check_headers(response.get("headers", {}), answer)
        if answer.headers.get("content-type") == "application/problem+json":
            self._check_headers(self._problem_headers(answer), answer)
        if method == "head" or "content" not in response:
            if answer.content:
                raise ContractError(f"{method} {path}: {status} has a body")
        else:
            self._check_body(response["content"], answer)

    def _problem_headers(self, answer: httpx.Response) -> Json:
        """What a problem promises of its headers, also where Nexudus may answer the same status."""
        kind = str(answer.json()["type"]).rpartition(":")[2] if answer.content else "internal"
        return cast(Json, self.document["components"]["responses"][kind]["headers"])

    def _check_headers(self, declared: Mapping[str, Any], answer: httpx.Response) -> None:
        for name, reference in declared.items():
            header = self.resolved(reference)
            value = answer.headers.get(name)
            if value is None:
                if header.get("required"):
                    raise ContractError(f"{name} is missing")
                continue
            number = header["schema"].get("type") == "integer" and value.isdigit()
            self.validate(int(value) if number else value, header["schema"])

    def _check_body(self, content: Mapping[str, Any], answer: httpx.Response) -> None:
        given = answer.headers.get("content-type", "").partition(";")[0]
        if given in content:
            text = given.startswith("text/")
            body = answer.text if text else orjson.loads(answer.content)
            self.validate(body, content[given]["schema"])
        elif "*/*" not in content:
            raise ContractError(f"{given or 'no content type'} is not declared")
