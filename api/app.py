"""The application, put together from what it is given."""

from quart import Quart, Response
from quart_schema import hide

from api.auth import install_auth, public
from api.bots import BotRoutes
from api.command_logs import CommandLogRoutes
from api.configs import ConfigRoutes
from api.diagnosis import DiagnosisRoutes
from api.docs_page import install_docs
from api.front import Front, install_front
from api.happenings import HappeningRoutes
from api.health import HealthRoutes
from api.metrics import MetricsRoutes
from api.openapi import PATH, install_openapi
from api.operations import OperationRoutes
from api.policies import PolicyRoutes
from api.problems import install_problems
from api.rollovers import RolloverRoutes
from api.secrets import SecretRoutes
from api.services import Services
from api.sparingly import Sparingly
from api.status import StatusRoutes
from api.stock import StockRoutes
from api.tracing import install_tracing
from api.under_way import install_end_of_requests
from api.webhooks import WebhookRoutes

MAX_BODY_BYTES = 64 * 1024


def create_app(services: Services, sparingly: Sparingly | None = None) -> Quart:
    """Return the API on `services`; it owns none of them. sparingly: tells of what strangers send."""
    sparingly = sparingly or Sparingly()
    app = Quart("api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["BODY_TIMEOUT"] = 20
    install_openapi(app)
    # The order is the order of the checks: a request has its id before its key is looked at.
    install_tracing(app, sparingly)
    install_auth(app, services.keys)
    install_problems(app)
    install_end_of_requests(app)
    for routes in (
        BotRoutes(services),
        DiagnosisRoutes(services),
        PolicyRoutes(services),
        ConfigRoutes(services),
        SecretRoutes(services),
        HappeningRoutes(services),
        CommandLogRoutes(services),
        StockRoutes(services),
        OperationRoutes(services),
        RolloverRoutes(services),
        StatusRoutes(services),
        MetricsRoutes(services),
        WebhookRoutes(services),
        HealthRoutes(services),
    ):
        app.register_blueprint(routes.blueprint())
    app.add_url_rule("/", view_func=_home, methods=["GET"])
    install_docs(app, PATH)
    install_front(app, services.serving.hosts, sparingly)
    return app


def front_of(app: Quart) -> Front:
    """Return what stands before an application of `create_app`."""
    front = app.asgi_app
    if not isinstance(front, Front):
        raise TypeError(f"{app} has no front")
    return front


@hide
@public
async def _home() -> Response:
    return Response(b"", 302, headers={"Location": "/docs"})
