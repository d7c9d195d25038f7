"""The description of all that the page does, for programs: OpenAPI 3.1 out of the table of actions."""

from __future__ import annotations

from typing import Any

from office.site.actions import Action, Table
from office.site.call import CSRF, CSRF_HEADER
from office.site.fields import Field
from office.site.sessions import COOKIE

_REFUSED = {
    "description": "Refused",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
}
_REFUSAL = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "fields": {"type": "object"}},
}


def describe(table: Table) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for action in table:
        paths.setdefault(action.path, {})[action.method.lower()] = _operation(action)
    return {
        "openapi": "3.1.0",
        "info": {"title": "bodycam office", "version": "1"},
        "paths": paths,
        "components": {
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": COOKIE}},
            "schemas": {"Refusal": _REFUSAL},
        },
    }


def _operation(action: Action) -> dict[str, Any]:
    kinds = ("application/json", "text/html") if action.answers is None else (action.answers,)
    told: dict[str, Any] = {
        "operationId": action.name,
        "summary": f"{action.title.zh} {action.title.en}",
        "parameters": [_parameter(action, field) for field in action.fields if _in_address(action, field)],
        "responses": {"200": {"description": "Done", "content": {kind: {} for kind in kinds}},
                      "303": {"description": "Go on there"},
                      "4XX": _REFUSED},
        "security": [] if action.roles is None else [{"session": []}],
    }  # fmt: skip
    if action.roles is not None:
        told["x-roles"] = sorted(action.roles)
    if action.method == "POST":
        told["parameters"].append(
            {"name": CSRF_HEADER, "in": "header", "required": False, "schema": {"type": "string"},
             "description": f"or the field {CSRF}: what the page's forms hold"}
        )  # fmt: skip
        told["requestBody"] = _body(action)
    return told


def _in_address(action: Action, field: Field) -> bool:
    return action.method == "GET" or field.name in action.parameters


def _parameter(action: Action, field: Field) -> dict[str, Any]:
    where = "path" if field.name in action.parameters else "query"
    return {
        "name": field.name, "in": where, "required": where == "path" or field.required, "schema": field.schema(),
        "description": f"{field.label.zh} {field.label.en}",
    }  # fmt: skip


def _body(action: Action) -> dict[str, Any]:
    inputs = [*action.inputs]
    schema = {
        "type": "object", "additionalProperties": False,
        "properties": {field.name: field.schema() for field in inputs} | {CSRF: {"type": "string"}},
        "required": [field.name for field in inputs if field.required],
    }  # fmt: skip
    files = any(field.kind == "file" for field in inputs)
    kinds = ("multipart/form-data",) if files else ("application/json", "application/x-www-form-urlencoded")
    return {"content": {kind: {"schema": schema} for kind in kinds}}
