"""Every kind of fault with its fields: the one table from which requests are checked and the control API answers."""

import re
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0)]
Duration = Annotated[float, Meta(gt=0)]
Snowflake = Annotated[str, Meta(pattern=r"^[0-9]{1,20}$")]
_ROUTE = re.compile(r"^(\*|[A-Z]+) (/.*)$")


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all faults share: whom they strike, when, and how often by chance."""

    applications: list[Snowflake] | None = None
    after_s: Seconds = 0.0
    for_s: Duration | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    seed: Annotated[int, Meta(ge=0, lt=1 << 53)] | None = None

    leaves_mark: ClassVar[bool] = True
    """Whether the fault goes on after its strike, until `for_s` is over or it is removed."""

    def concerns(self, application_id: str | None) -> bool:
        """Return whether the fault is meant for an application; None stands for one that is not known yet."""
        return self.applications is None or application_id in self.applications


class Act(Fault, frozen=True, kw_only=True):
    """Strikes each connection that is there at its moment; with `every_s` again and again."""

    every_s: Annotated[float, Meta(ge=0.01)] | None = None
    leaves_mark: ClassVar[bool] = False


class Rest(Fault, frozen=True, kw_only=True):
    """Strikes requests under /api. `route` is a method (or *) and the start of a path after /api/v10."""

    route: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if `route` has another form."""
        if self.route is not None and not _ROUTE.match(self.route):
            raise ValueError('route must be a method or *, a space and the start of a path: "POST /channels/"')

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request falls under `route`; `path` follows /api/v10."""
        if self.route is None:
            return True
        wanted, _, prefix = self.route.partition(" ")
        return wanted in {"*", method} and path.startswith(prefix)


class RestLatency(Rest, frozen=True, kw_only=True, tag="rest_latency"):
    """Answers come late: by ms, and up to jitter_ms more."""

    ms: Seconds
    jitter_ms: Seconds = 0.0


class RestError(Rest, frozen=True, kw_only=True, tag="rest_error"):
    """Requests are answered with a server error and not carried out; 502 and 504 come as HTML, as from the edge."""

    status: Literal[500, 502, 503, 504] = 500


class RestRefused(Rest, frozen=True, kw_only=True, tag="rest_refused"):
    """Requests are refused with one of Discord's error codes that a bot must tell apart, and not carried out."""

    code: Literal[0, 40001, 50001, 50013, 50027] = 40001


class Rest429(Rest, frozen=True, kw_only=True, tag="rest_429"):
    """Requests are answered with 429, whatever the buckets say.

    `bucket`: whether the answer has a bucket's headers; by itself it has them unless its scope is global.
    """

    scope: Literal["user", "global", "shared"] = "user"
    retry_after_s: Duration = 1.0
    bucket: bool | None = None


class RestEdge429(Rest, frozen=True, kw_only=True, tag="rest_edge_429"):
    """Requests are answered with Cloudflare's own 429: no JSON, no headers of a bucket, no Via."""

    retry_after_s: Duration = 1.0


class RestDown(Rest, frozen=True, kw_only=True, tag="rest_down"):
    """Connections are cut without an answer while the gateway lives; requests are not carried out."""


class RestTruncated(Rest, frozen=True, kw_only=True, tag="rest_truncated"):
    """Requests are carried out, but the answer is cut in the middle; with `stall` it stops there instead."""

    stall: bool = False


class Drop(Act, frozen=True, kw_only=True, tag="drop"):
    """Connections are reset (TCP RST)."""


class HalfOpen(Act, frozen=True, kw_only=True, tag="half_open"):
    """Sockets stay open, but nothing is read or answered any more."""


class Reconnect(Act, frozen=True, kw_only=True, tag="reconnect"):
    """Clients are asked to reconnect and resume (op 7)."""


class InvalidSession(Act, frozen=True, kw_only=True, tag="invalid_session"):
    """Sessions are declared invalid (op 9)."""

    resumable: bool = False


class CloseWith(Act, frozen=True, kw_only=True, tag="close"):
    """Connections are closed with a code."""

    code: Annotated[int, Meta(ge=1000, le=4999)] = 4000


class TruncatedFrame(Act, frozen=True, kw_only=True, tag="truncated_frame"):
    """Half a frame is sent, then the connection is cut."""


class TokenReset(Act, frozen=True, kw_only=True, tag="token_reset"):
    """Tokens are reset: sessions close with 4004, and the old token is refused from then on."""


class Deaf(Act, frozen=True, kw_only=True, tag="deaf"):
    """Sessions get no events but are acknowledged; a fresh IDENTIFY hears."""

    keep: bool = False
    heals_on: Literal["resume", "identify"] = "identify"
    leaves_mark: ClassVar[bool] = True


class NoAcks(Fault, frozen=True, kw_only=True, tag="no_acks"):
    """Heartbeats are not acknowledged; events go on."""


class SlowFrames(Fault, frozen=True, kw_only=True, tag="slow_frames"):
    """Connections get their frames slowly."""

    bytes_per_s: Annotated[float, Meta(ge=1)] = 1000.0


class RefuseResume(Fault, frozen=True, kw_only=True, tag="refuse_resume"):
    """Each RESUME gets op 9, and its session is gone; with `spare` it lives on in a connection that has it."""

    spare: bool = False


class RefuseConnections(Fault, frozen=True, kw_only=True, tag="refuse_connections"):
    """The gateway cannot be reached; with `applications` the reset comes when the client says who it is."""


class IntentsRevoked(Fault, frozen=True, kw_only=True, tag="intents_revoked"):
    """Sessions with privileged intents close with 4014, and so does whoever asks for them."""


GATEWAY_KINDS = (
    Drop, HalfOpen, Reconnect, InvalidSession, CloseWith, NoAcks, Deaf, SlowFrames, TruncatedFrame,
    RefuseResume, RefuseConnections, TokenReset, IntentsRevoked,
)  # fmt: skip
REST_KINDS = (RestLatency, RestError, RestRefused, Rest429, RestEdge429, RestDown, RestTruncated)
KINDS: dict[str, type[Fault]] = {str(kind.__struct_config__.tag): kind for kind in (*REST_KINDS, *GATEWAY_KINDS)}


class FaultRefusedError(Exception):
    """A request for a fault that there is not; the message says what there is."""


def parse(body: object) -> Fault:
    """Return the fault a JSON object asks for. Raises FaultRefusedError."""
    if not isinstance(body, dict):
        raise FaultRefusedError(f"A fault is an object with a kind, one of {', '.join(KINDS)}.")
    kind = KINDS.get(str(body.get("kind")))
    if kind is None:
        raise FaultRefusedError(f"There is no kind {body.get('kind')!r}; there are {', '.join(KINDS)}.")
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(map(_spoken, describe(kind)["fields"]))
        raise FaultRefusedError(f"{error}. The fields of {body['kind']} are {fields}.") from None


def describe(kind: type[Fault]) -> dict[str, Any]:
    """Return a kind's name, what it does, and its fields with their values and defaults, as JSON."""
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
    required = schema.get("required", [])
    fields: list[dict[str, Any]] = []
    for name, rules in schema["properties"].items():
        if name != "kind":
            fields.append({"name": name, "required": name in required} | rules)
    return {"kind": kind.__struct_config__.tag, "description": (kind.__doc__ or "").strip(), "fields": fields}


def _spoken(field: dict[str, Any]) -> str:
    choices = f" ({', '.join(map(str, field['enum']))})" if "enum" in field else ""
    return f"{field['name']}{choices}"
