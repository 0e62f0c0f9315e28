"""The OpenAPI 3.1 description of the API, made from the table that routes the requests."""

from __future__ import annotations

from typing import Any

from queuectl.version import __version__
from queuectl.web.api.endpoint import Endpoint
from queuectl.web.api.endpoints import ENDPOINTS
from queuectl.web.api.params import BODY, Param, Schema
from queuectl.web.api.schemas import SCHEMAS, named, record

_REFUSALS = {
    "400": "What was asked cannot be accepted.",
    "401": "The token is missing or wrong.",
    "403": "The dashboard is read-only, or the request is a forged one.",
    "404": "There is no such thing.",
    "409": "The thing exists already, or is in a state that refuses the change.",
    "413": "The body is too large.",
    "429": "Too many wrong tokens were shown.",
    "503": "The store does not answer.",
}


def description() -> dict[str, Any]:
    """Return the description of the whole API."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(f"/api{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "queuectl",
            "version": __version__,
            "description": "The job queue for shell commands. Times are ISO 8601 in UTC, "
            "durations are seconds.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                f"Refused{status}": {
                    "description": about,
                    "content": {"application/problem+json": {"schema": named("Problem")}},
                }
                for status, about in _REFUSALS.items()
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [_parameter(p) for p in endpoint.params if p.place != BODY],
        "responses": {
            str(endpoint.status): {
                "description": "Done.",
                "content": {"application/json": {"schema": endpoint.answer}},
            },
            **{status: {"$ref": f"#/components/responses/Refused{status}"} for status in _REFUSALS},
        },
    }
    if body := _body(endpoint):
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return told


def _parameter(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": param.place,
        "required": param.required,
        "description": param.about,
        "schema": param.schema,
    }


def _body(endpoint: Endpoint) -> Schema | None:
    fields = [param for param in endpoint.params if param.place == BODY]
    if not fields:
        return None
    if fields[0].name == "*":
        return fields[0].schema
    body = record(**{each.name: {**each.schema, "description": each.about} for each in fields})
    return {**body, "required": [each.name for each in fields if each.required]}
