"""The API's own description, OpenAPI 3.1."""

from typing import Any

import msgspec
from quart import Quart
from quart_schema import Info, QuartSchema
from quart_schema.openapi import HttpSecurityScheme, OpenAPIProvider
from quart_schema.validation import DataSource
from werkzeug.routing import Rule

from api import (
    command_logs,
    config_schemas,
    diagnosis_schemas,
    happenings,
    metrics,
    policies,
    rollover_schemas,
    schemas,
    secrets,
    stock,
    webhooks,
)
from api.auth import SCHEME, role_of
from api.problems import CONTENT_TYPE
from flotilla import __version__
from flotilla.domain.config import BotConfig, GuildConfig
from flotilla.domain.policy import Overrides

PATH = "/api/v1/openapi.json"
_REF = "#/components/schemas/{name}"
_MODELS = [
    schemas.BotPage,
    schemas.BotUptime,
    schemas.NewBot,
    schemas.NewToken,
    schemas.NewOperation,
    schemas.OperationPage,
    schemas.OperationItemPage,
    schemas.DryRun,
    schemas.FleetStatus,
    schemas.Health,
    schemas.Readiness,
    schemas.Problem,
    diagnosis_schemas.BotExitPage,
    diagnosis_schemas.BotHeap,
    diagnosis_schemas.BotStacks,
    diagnosis_schemas.HeapRequest,
    diagnosis_schemas.Inspection,
    diagnosis_schemas.NewHeapRequest,
    diagnosis_schemas.StacksRequest,
    command_logs.CommandLogPage,
    happenings.HappeningPage,
    BotConfig,
    GuildConfig,
    config_schemas.BotConfigView,
    config_schemas.ConfigChanged,
    config_schemas.ConfigHistory,
    config_schemas.GuildConfigView,
    config_schemas.Rollback,
    metrics.BotMetricsView,
    webhooks.DeliveryPage,
    webhooks.Delivery,
    webhooks.NewWebhook,
    webhooks.MadeWebhook,
    webhooks.WebhookChange,
    webhooks.WebhookPage,
    policies.BotPolicy,
    Overrides,
    rollover_schemas.NewRollover,
    rollover_schemas.Rollover,
    rollover_schemas.RolloverDryRun,
    rollover_schemas.RolloverPage,
    secrets.NewSecret,
    secrets.SecretsView,
    stock.NewStockItem,
    stock.StockItemPage,
]


class Provider(OpenAPIProvider):
    """quart-schema's, with every msgspec model as a component: its own loses the definitions nested in them."""

    def schema(self) -> dict[str, Any]:
        """Return the whole document."""
        document = super().schema()
        _, components = msgspec.json.schema_components(_MODELS, ref_template=_REF)
        document["components"]["schemas"] = components
        document["paths"] = dict(document["paths"])
        return document

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """Add what every view can answer: a problem."""
        paths, components = super().build_paths(rule)
        problem = {
            "description": "A problem (RFC 9457); `code` is stable.",
            "content": {CONTENT_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
        }
        role = role_of(self._app.view_functions[rule.endpoint])
        for path in paths.values():
            for operation in path.values():
                answers = {str(status): about for status, about in operation["responses"].items()}
                operation["responses"] = {**(answers or {"204": {"description": "Done; no body."}}), "default": problem}
                if role is not None:
                    operation["description"] = f"{operation['description']}\nNeeds the role {role}.".strip()
        return paths, components

    def build_request_body(self, model: type[Any], _source: DataSource) -> tuple[dict[str, Any], dict[str, Any]]:
        """Refer to the model's component."""
        reference = {"$ref": _REF.format(name=model.__name__)}
        return {"required": True, "content": {"application/json": {"schema": reference}}}, {}

    def build_response_object(self, model: type[Any], _headers: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Refer to the model's component."""
        reference = {"$ref": _REF.format(name=model.__name__)}
        return {"description": model.__doc__ or "", "content": {"application/json": {"schema": reference}}}, {}

    def build_querystring_parameters(self, model: type[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Describe each query parameter in place."""
        _, components = msgspec.json.schema_components([model], ref_template=_REF)
        properties: dict[str, dict[str, Any]] = components[model.__name__]["properties"]
        shown = {name: _in_place(about, components) for name, about in properties.items()}
        return [{"name": name, "in": "query", "schema": about} for name, about in shown.items()], {}


def _in_place(about: Any, components: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a schema with what it refers to in its place: two enums of one name are told apart only among all."""
    if isinstance(about, list):
        return [_in_place(inner, components) for inner in about]
    if not isinstance(about, dict):
        return about
    if "$ref" in about:
        return components[about["$ref"].rpartition("/")[2]]
    return {name: _in_place(inner, components) for name, inner in about.items()}


def install_openapi(app: Quart) -> None:
    """Serve the description at /api/v1/openapi.json."""
    QuartSchema(
        app,
        openapi_path=PATH,
        swagger_ui_path=None,
        redoc_ui_path=None,
        scalar_ui_path=None,
        info=Info(title="Flotilla", version=__version__, summary="Run a fleet of Discord bots."),
        security_schemes={SCHEME: HttpSecurityScheme(scheme="bearer")},
        conversion_preference="msgspec",
        openapi_provider_class=Provider,
    )
