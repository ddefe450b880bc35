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

_EXACT_MAX = 2**53
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
    # Documented: Reference, Uploading Files. A new file's id is the n of its part `files[n]`, an integer in Discord's
    # example and in what its clients send; the description has the snowflakes of files that are there already.
    attachment = schemas["MessageAttachmentRequest"]["properties"]
    attachment["id"] = {"oneOf": [attachment["id"], {"type": "integer", "minimum": 0}]}
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
    for node in _objects(document):
        _take_permissions_as_text(node)
        _bound_int32(node)
    return document


def with_snowflakes_as_text(value: Any) -> Any:
    """Return a request's JSON with its snowflakes as strings: Discord takes them as numbers too, as discord.py sends.

    No other number in a request is beyond what JSON can carry exactly.
    """
    if isinstance(value, dict):
        return {key: with_snowflakes_as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [with_snowflakes_as_text(each) for each in value]
    if isinstance(value, int) and value > _EXACT_MAX:
        return str(value)
    return value


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
