"""The page at /docs: Swagger UI from the wheel that carries its files. A browser loads nothing from anywhere else."""

from importlib.util import find_spec
from pathlib import Path

from quart import Quart, Response, send_file
from quart_schema import hide
from werkzeug.exceptions import NotFound

from api.auth import public

PATH = "/docs"
PACKAGE = "flask_swagger_ui"
"""A Flask extension, of which nothing is imported: its releases are Swagger UI's, a few days later."""

FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI styles single elements, draws pictures from data, and calls the API; its scripts are files."""

_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Flotilla: API</title>
<link rel="icon" href="{PATH}/favicon-32x32.png">
<link rel="stylesheet" href="{PATH}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{PATH}/swagger-ui-bundle.js"></script>
<script src="{PATH}/start.js"></script>
</body>
</html>
"""


def install_docs(app: Quart, openapi_path: str) -> None:
    """Serve a page to read and try the API that is described at `openapi_path`."""
    # Without a validator: Swagger UI's own is a website, which would be told where this API is.
    start = (
        f'SwaggerUIBundle({{url: "{openapi_path}", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, '
        "presets: [SwaggerUIBundle.presets.apis]});\n"
    )

    @hide
    @public
    async def page() -> Response:
        response = _answer(_PAGE, "text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    @hide
    @public
    async def begin() -> Response:
        return _answer(start, "text/javascript")

    @hide
    @public
    async def file(name: str) -> Response:
        if name not in FILES:
            raise NotFound
        response = await send_file(_folder() / name, mimetype=FILES[name], conditional=True)
        response.headers["Cache-Control"] = "no-cache"  # kept, but asked for anew: a release may bring another
        response.headers.pop("Expires", None)
        return response

    app.add_url_rule(PATH, "docs", page, methods=["GET"])
    app.add_url_rule(f"{PATH}/start.js", "docs_start", begin, methods=["GET"])
    app.add_url_rule(f"{PATH}/<name>", "docs_file", file, methods=["GET"])


def _answer(text: str, content_type: str) -> Response:
    return Response(text, content_type=content_type, headers={"Cache-Control": "no-cache"})


def _folder() -> Path:
    """Return where the wheel has Swagger UI's files."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"{PACKAGE} is not installed. Run: make setup")
    return Path(found.submodule_search_locations[0]) / "dist"
