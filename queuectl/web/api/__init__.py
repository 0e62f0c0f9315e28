"""The JSON API: one table of endpoints, which routes, describes and serves the forms."""

from __future__ import annotations

from typing import Any

from queuectl.version import __version__
from queuectl.web.api.change import CHANGING
from queuectl.web.api.copies import COPIES
from queuectl.web.api.endpoint import BODY, WHOLE_BODY, Endpoint
from queuectl.web.api.named import NAMED
from queuectl.web.api.read import READING
from queuectl.web.api.schedules import SCHEDULES
from queuectl.web.api.schemas import SCHEMAS, Schema, named, record
from queuectl.web.api.several import SEVERAL
from queuectl.web.api.sweeps import SWEEPS
from queuectl.web.api.trail import TRAIL

ENDPOINTS: tuple[Endpoint, ...] = (
    *READING,
    *CHANGING,
    *COPIES,
    *SWEEPS,
    *SEVERAL,
    *SCHEDULES,
    *NAMED,
    *TRAIL,
)
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}

_REFUSALS = {
    "400": "What was asked cannot be accepted.",
    "401": "The token is missing or wrong.",
    "403": "The dashboard is read-only, or the request is a forged one.",
    "404": "There is no such thing.",
    "409": "The thing exists already, or is in a state that refuses the change.",
    "413": "The body is too large.",
    "429": "Too many wrong tokens were shown.",
    "502": "What a hook was to tell did not arrive.",
    "503": "The store does not answer.",
}


def description(*, open_reading: bool = True, root: str = "") -> dict[str, Any]:
    """Return the description of the whole API in OpenAPI 3.1.

    `open_reading` says whether whoever is on this machine may look without the token, and
    `root` the path below which everything is.
    """
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(f"/api{endpoint.path}", {})[endpoint.method.lower()] = _operation(
            endpoint, open_reading=open_reading
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "queuectl",
            "version": __version__,
            "description": "The job queue for shell commands. Times are ISO 8601 in UTC, "
            "durations are seconds. Where an operation can do without the token, that is for "
            "requests from the machine itself.",
        },
        "servers": [{"url": root or "/"}],
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


def _operation(endpoint: Endpoint, *, open_reading: bool) -> dict[str, Any]:
    is_open = open_reading and not endpoint.changes
    operation: dict[str, Any] = {
        "security": [{}, {"token": []}] if is_open else [{"token": []}],
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [
            {
                "name": param.name,
                "in": param.place,
                "required": param.required,
                "description": param.about,
                "schema": param.schema,
            }
            for param in endpoint.params
            if param.place != BODY
        ],
        "responses": {
            str(endpoint.status): {
                "description": "Done.",
                "content": {"application/json": {"schema": endpoint.answer}},
            },
            **{status: {"$ref": f"#/components/responses/Refused{status}"} for status in _REFUSALS},
        },
    }
    if body := _body(endpoint):
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    return operation


def _body(endpoint: Endpoint) -> Schema | None:
    params = endpoint.params_in(BODY)
    if not params:
        return None
    whole = next((each.schema for each in params if each.name == WHOLE_BODY), None)
    own = [each for each in params if each.name != WHOLE_BODY]
    if whole is not None and not own:
        return whole
    body = record(**{each.name: {**each.schema, "description": each.about} for each in own})
    required = [each.name for each in own if each.required]
    if whole is None:
        return {**body, "required": required}
    base = SCHEMAS[whole["$ref"].rpartition("/")[2]]
    properties = {**base["properties"], **body["properties"]}
    return {**base, "properties": properties, "required": [*base["required"], *required]}
