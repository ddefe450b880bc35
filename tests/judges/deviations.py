"""Where Discord's description of its API and Discord itself part: all that the judge lets pass, and why."""

from collections.abc import Iterator, Mapping
from typing import Any

# Operations that Discord's developer documentation has (Topics, OAuth2) and the description has not. They are not
# judged: even their errors are those of RFC 6749, not of Discord's API.
NOT_DESCRIBED = {
    ("GET", "/oauth2/authorize"): "a page for people, not a call of bots",
    ("POST", "/oauth2/token"): "the description leaves the token endpoints out",
    ("POST", "/oauth2/token/revoke"): "the description leaves the token endpoints out",
}

_SNOWFLAKE = "#/components/schemas/SnowflakeType"
_PERMISSIONS = ("permissions", "default_member_permissions", "allow", "deny")


def is_of_the_edge(status: int, content_type: str, headers: Mapping[str, str]) -> bool:
    """Return whether an answer is not the API's own but that of the servers in front of it, which nothing describes.

    That is every 5XX, and the 429 without JSON that a banned address gets; clients know it by the missing Via.
    """
    return status >= 500 or (status == 429 and content_type != "application/json" and "via" not in headers)


def correct(document: dict[str, Any]) -> dict[str, Any]:
    """Change a loaded description in place to what Discord does; return it."""
    schemas = document["components"]["schemas"]
    # Discord's reference shows field errors with codes such as BASE_TYPE_REQUIRED; the description calls them integers.
    schemas["InnerErrors"]["properties"]["_errors"]["items"] = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    }
    # Discord takes a ban's removal without a body, as all its clients send it.
    del document["paths"]["/guilds/{guild_id}/bans/{user_id}"]["delete"]["requestBody"]
    # Documented: Resources, Guild. All of a ban's body is optional, and discord.py sends it as a query.
    ban = document["paths"]["/guilds/{guild_id}/bans/{user_id}"]["put"]
    ban["requestBody"]["required"] = False
    span = {"type": "integer", "minimum": 0, "maximum": 604_800}
    ban["parameters"] = [*ban.get("parameters", []), {"name": "delete_message_seconds", "in": "query", "schema": span}]
    # Documented: Resources, Application. An application's description is a string.
    described = schemas["ApplicationFormPartial"]["properties"]
    described["description"] = {"type": ["string", "null"], "maxLength": 400}
    # Documented: Resources, User. Every parameter of Modify Current User is optional.
    schemas["BotAccountPatchRequest"].pop("required", None)
    # hikari names an emoji of a guild in a button or menu by its id alone, and Discord shows it.
    schemas["ComponentEmojiForRequest"].pop("required")
    for node in _objects(document):
        _take_permissions_as_text(node)
        _bound_int32(node)
        if node.get("format") == "uri":
            node["format"] = "iri"  # observed: Discord takes links with letters beyond ASCII, as people paste them
    for node in _requests(document):
        _take_laxly(node)
    for item in document["paths"].values():
        for operation in item.values():
            for node in _objects(operation.get("parameters", []) if isinstance(operation, dict) else operation):
                _take_any_iso8601(node)
    return document


def _take_laxly(node: dict[str, Any]) -> None:
    """Let a schema of requests alone take what Discord's clients send."""
    for keys in (node.get("properties", {}), node):
        for key, schema in list(keys.items()) if isinstance(keys, dict) else ():
            if isinstance(schema, dict) and schema.get("$ref") == _SNOWFLAKE:
                # discord.py sends ids as numbers, and Discord reads them.
                keys[key] = {"oneOf": [dict(schema), {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}]}
    branches = node.get("oneOf", [])
    if branches == [{"type": "null"}, {"$ref": _SNOWFLAKE}]:
        branches.append({"type": "integer", "minimum": 0, "maximum": 2**64 - 1})
    _take_any_iso8601(node)


def _take_any_iso8601(node: dict[str, Any]) -> None:
    """Discord's own error says only "Should be ISO8601": it reads times without a zone, and dates alone."""
    if node.get("format") == "date-time":
        node.update({"format": "iso8601", "pattern": "^[0-9]{4}-"})


def _requests(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schemas of requests that no answer uses."""
    asked, answered = set[str](), set[str]()
    bodies: list[dict[str, Any]] = []
    for item in document["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                bodies.append(operation.get("requestBody", {}))
                _follow(document, operation.get("responses", {}), answered)
    for body in bodies:
        _follow(document, body, asked)
        yield from _objects(body)
    for name in asked - answered:
        yield from _objects(document["components"]["schemas"][name])


def _follow(document: dict[str, Any], node: Any, seen: set[str]) -> None:
    """Add the names of all component schemas that a node leads to."""
    for each in _objects(node):
        kind, _, name = str(each.get("$ref", "")).removeprefix("#/components/").partition("/")
        if kind == "responses":
            _follow(document, document["components"]["responses"][name], seen)
        elif kind == "schemas" and name not in seen:
            seen.add(name)
            _follow(document, document["components"]["schemas"][name], seen)


def _take_permissions_as_text(node: dict[str, Any]) -> None:
    """Documented: Topics, Permissions. Sets of permissions are strings; the description's requests have integers."""
    properties: Any = node.get("properties")
    for name in _PERMISSIONS if isinstance(properties, dict) else ():
        schema = properties.get(name, {})
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if "integer" in kinds:
            schema.update({"type": [*kinds, "string"], "pattern": "^[0-9]+$"})


def _bound_int32(node: dict[str, Any]) -> None:
    """Give integers called int32 the bounds that this means: a validator looks at the format of strings only."""
    if node.get("format") == "int32":
        node.setdefault("minimum", -(2**31))
        node.setdefault("maximum", 2**31 - 1)


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _objects(value)
