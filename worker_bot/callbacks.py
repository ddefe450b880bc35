"""Puts the guard of a bot's answers into hikari and lightbulb, where every answer, handler and failure passes.

Like `worker_bot.rest` it touches private names, for there is no public place for this; a contract test pins them. It
lies over `worker_bot.rest`, so what the guard asks of Discord passes the guard of requests as everything does. Works
for every bot of the process, however it was made.
"""

import contextlib
import functools
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import hikari
import lightbulb
from hikari.impl.event_manager_base import EventManagerBase
from hikari.impl.rest import RESTClientImpl
from hikari.internal import data_binding, routes

from worker_bot import responses, rest
from worker_bot.answering import ORIGINAL, Answer, Call, Exchange, Op

EPHEMERAL: Final = int(hikari.MessageFlag.EPHEMERAL)
_OF_AN_EDIT: Final = int(
    hikari.MessageFlag.SUPPRESS_EMBEDS | hikari.MessageFlag.IS_COMPONENTS_V2 | hikari.MessageFlag.IS_VOICE_MESSAGE
)
_NOT_OF_AN_EDIT: Final = frozenset({"flags", "tts", "nonce", "enforce_nonce", "username", "avatar_url"})
_OPS: Final = {
    id(routes.POST_INTERACTION_RESPONSE): Op.ANSWER,
    id(routes.PATCH_INTERACTION_RESPONSE): Op.EDIT,
    id(routes.GET_INTERACTION_RESPONSE): Op.FETCH,
    id(routes.DELETE_INTERACTION_RESPONSE): Op.DELETE,
    id(routes.POST_WEBHOOK_WITH_TOKEN): Op.FOLLOW_UP,
}

_ANSWERS: Final = frozenset(map(int, Answer))

Json = dict[str, Any]
AsItIs = Callable[[], Awaitable[Any]]
Listener = Callable[[Any], Awaitable[None]]


class Said:
    """What the code says in a call: a message's fields, with files if it has any."""

    def __init__(self, fields: Mapping[str, Any], form: Any = None) -> None:  # noqa: ANN401 - hikari's form
        self.fields, self.form = fields, form

    def as_edit(self) -> "Said":
        """Return the same for a message that is there already."""
        kept = {name: value for name, value in self.fields.items() if name not in _NOT_OF_AN_EDIT}
        flags = int(self.fields.get("flags") or 0) & _OF_AN_EDIT
        return Said(kept | ({"flags": flags} if flags else {}), self.form)

    def as_new(self, *, private: bool) -> "Said":
        """Return the same for a message that is not there yet."""
        kept = {name: value for name, value in self.fields.items() if value is not None}
        flags = int(kept.pop("flags", 0)) & ~EPHEMERAL | (EPHEMERAL if private else 0)
        return Said(kept | ({"flags": flags} if flags else {}), self.form)

    def request(self) -> Json:
        """Return what hikari's `_request` takes for it."""
        if self.form is None:
            return {"json": dict(self.fields)}
        form = data_binding.URLEncodedFormBuilder()
        form._resources = list(self.form._resources)
        form._fields = [field for field in self.form._fields if field[0] != "payload_json"]
        form.add_field("payload_json", json.dumps(self.fields), content_type="application/json")
        return {"form_builder": form}


class Keeper(Protocol):
    """What is asked about a bot's answers."""

    def find(self, token: str) -> Exchange | None:
        """Return the interaction with this token, if it is looked after."""

    async def carry(self, exchange: Exchange, call: Call, said: Said, as_it_is: AsItIs) -> Any:  # noqa: ANN401
        """Carry out a call of the code, and return what hikari expects for it."""

    async def handle(
        self, exchange: Exchange, listener: Listener, invoke: Callable[[Listener], Awaitable[None]], *, heard: bool
    ) -> None:
        """Let the code handle an interaction. heard: whether the bot's own code hears of failures too."""

    def notice(self, token: str) -> None:
        """Take note that a command failed, before the bot's own code hears of it."""

    async def failed(self, token: str, error: Exception) -> bool:
        """See to a command that failed; return whether it is seen to, by the bot's own code or otherwise."""


class Watcher(Protocol):
    """What is told of how interactions fare, by their ids. Must not raise."""

    def entered(self, interaction_id: int) -> None:
        """The bot's code begins to handle one; several listeners may."""

    def raised(self, interaction_id: int, error: BaseException) -> None:
        """The bot's code raised."""

    def left(self, interaction_id: int) -> None:
        """The bot's code has ended."""

    def accepted(self, interaction_id: int) -> None:
        """Discord has accepted an initial response of the bot's code."""


class Gate(Protocol):
    """What is asked before the bot's code gets an interaction."""

    async def lets(self, interaction: hikari.PartialInteraction) -> bool:
        """Return whether it is to get it; if not, the user has been told."""


_current: list[Keeper] = []
_gates: list[Gate] = []
_watchers: list[Watcher] = []


def gate(keeper: Gate | None) -> None:
    """Let `keeper` say which interactions the code of this process gets; None: all."""
    _gates[:] = [] if keeper is None else [keeper]


def watch(watcher: Watcher | None) -> None:
    """Let `watcher` be told of all interactions of this process; None: nobody."""
    _watchers[:] = [] if watcher is None else [watcher]


def install(keeper: Keeper | None) -> None:
    """Let `keeper` look after all answers of this process; None: nobody."""
    _current[:] = [] if keeper is None else [keeper]


class Wire:
    """What the guard itself asks of Discord about an interaction; raises as hikari does."""

    def __init__(self, client: hikari.api.RESTClient) -> None:
        self._client = client

    async def answer(self, exchange: Exchange, answer: Answer, data: Json) -> None:
        """Give the initial response."""
        route = routes.POST_INTERACTION_RESPONSE.compile(interaction=exchange.id, token=exchange.token)
        await _request(self._client, route, json={"type": int(answer), "data": data}, auth=None)

    async def edit(self, exchange: Exchange, message_id: str, said: Said) -> Json:
        """Change a message and return it."""
        names = {"webhook": exchange.application_id, "token": exchange.token}
        if message_id == ORIGINAL:
            route = routes.PATCH_INTERACTION_RESPONSE.compile(**names)
        else:
            route = routes.PATCH_WEBHOOK_MESSAGE.compile(**names, message=message_id)
        return dict(await _request(self._client, route, **said.as_edit().request(), auth=None))

    async def new(self, exchange: Exchange, said: Said, *, private: bool) -> Json:
        """Make a follow-up message and return it."""
        route = routes.POST_WEBHOOK_WITH_TOKEN.compile(webhook=exchange.application_id, token=exchange.token)
        query = data_binding.StringMapBuilder()
        query.put("wait", True)
        query.put("with_components", True)
        request = said.as_new(private=private).request()
        return dict(await _request(self._client, route, **request, query=query, auth=None))

    async def fetch(self, exchange: Exchange, message_id: str) -> Json:
        """Return a follow-up message."""
        names = {"webhook": exchange.application_id, "token": exchange.token, "message": message_id}
        return dict(await _request(self._client, routes.GET_WEBHOOK_MESSAGE.compile(**names), auth=None))

    async def delete(self, exchange: Exchange, message_id: str) -> None:
        """Delete a message; one that is not there is deleted."""
        names = {"webhook": exchange.application_id, "token": exchange.token}
        if message_id == ORIGINAL:
            route = routes.DELETE_INTERACTION_RESPONSE.compile(**names)
        else:
            route = routes.DELETE_WEBHOOK_MESSAGE.compile(**names, message=message_id)
        with contextlib.suppress(hikari.NotFoundError):
            await _request(self._client, route, auth=None)


def callback_result(exchange: Exchange, answer: Answer | None, message: Json | None) -> Json:
    """Return what Discord would have said of an initial response that was carried out in another way."""
    shown: Json = {"id": str(exchange.id), "type": int(exchange.kind)}
    if message is None:
        return {"interaction": shown}
    shown |= {
        "response_message_id": message["id"],
        "response_message_loading": False,
        "response_message_ephemeral": bool(message.get("flags", 0) & EPHEMERAL),
    }
    return {"interaction": shown, "resource": {"type": int(answer or 0), "message": message}}


# What is put in hikari's and lightbulb's place -----------------------------------------------------------------------


def _body_of(named: Json) -> tuple[Mapping[str, Any], Any]:
    """Return the JSON of a request and its form."""
    form = named.get("form_builder")
    if form is None:
        return named.get("json") or {}, None
    payload = next((data for name, data, _ in form._fields if name == "payload_json"), "{}")
    text = payload if isinstance(payload, str) else payload._value
    return json.loads(text), form


def _call_of(op: Op, body: Mapping[str, Any], form: Any) -> tuple[Call, Said]:  # noqa: ANN401
    if op is not Op.ANSWER:
        return Call(op, private=bool(int(body.get("flags") or 0) & EPHEMERAL)), Said(body, form)
    data = body.get("data") or {}
    private = bool(int(data.get("flags") or 0) & EPHEMERAL)
    kind = int(body.get("type") or 0)
    return Call(op, Answer(kind) if kind in _ANSWERS else Answer.OTHER, private), Said(data, form)


async def _looked_after(client: RESTClientImpl, compiled_route: Any, **named: Any) -> Any:  # noqa: ANN401
    op = _OPS.get(id(compiled_route.route))
    if op is None:
        return await _request(client, compiled_route, **named)
    parts = compiled_route.compiled_path.split("/")  # /interactions/ID/TOKEN/callback, /webhooks/APPLICATION/TOKEN/…
    exchange = _current[0].find(parts[3]) if _current else None
    as_it_is = functools.partial(_request, client, compiled_route, **named)
    if exchange is None:
        answer = await as_it_is()
    else:
        answer = await _current[0].carry(exchange, *_call_of(op, *_body_of(named)), as_it_is)
    if op is Op.ANSWER:
        responses.accepted(int(parts[2]))
        for watcher in _watchers:
            watcher.accepted(int(parts[2]))
    return answer


async def _invoke_looked_after(manager: EventManagerBase, callback: Any, event: Any) -> None:  # noqa: ANN401
    if not isinstance(event, hikari.InteractionCreateEvent):
        await _invoke(manager, callback, event)
        return
    for keeper in _gates:
        callback = _gated(keeper, callback)
    if not _watchers:
        await _guarded(manager, callback, event)
        return
    watcher, interaction_id = _watchers[0], int(event.interaction.id)

    @functools.wraps(callback)
    async def watched(event: Any) -> None:  # noqa: ANN401
        try:
            await callback(event)
        except Exception as error:
            watcher.raised(interaction_id, error)
            raise

    watcher.entered(interaction_id)
    try:
        await _guarded(manager, watched, event)
    finally:
        watcher.left(interaction_id)


def _gated(keeper: Gate, callback: Any) -> Any:  # noqa: ANN401 - hikari's callback
    @functools.wraps(callback)
    async def gated(event: Any) -> None:  # noqa: ANN401
        if await keeper.lets(event.interaction):
            await callback(event)

    return gated


async def _guarded(manager: EventManagerBase, callback: Any, event: Any) -> None:  # noqa: ANN401
    exchange = _current[0].find(event.interaction.token) if _current else None
    if exchange is None:
        await _invoke(manager, callback, event)
        return

    async def invoke(watched: Listener) -> None:
        await _invoke(manager, watched, event)

    await _current[0].handle(exchange, callback, invoke, heard=bool(manager.get_listeners(hikari.ExceptionEvent)))


def _make_looked_after(client: lightbulb.Client, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
    _make_client(client, *arguments, **named)
    client.error_handler(_before_all, priority=sys.maxsize)
    client.error_handler(_after_all, priority=-sys.maxsize)


async def _before_all(failure: lightbulb.exceptions.ExecutionPipelineFailedException) -> bool:
    for watcher in _watchers:
        watcher.raised(int(failure.context.interaction.id), failure.__cause__ or failure)
    for keeper in _current:
        keeper.notice(failure.context.interaction.token)
    return False


async def _after_all(failure: lightbulb.exceptions.ExecutionPipelineFailedException) -> bool:
    for keeper in _current:
        return await keeper.failed(failure.context.interaction.token, failure)
    return False


_request: Callable[..., Any] = rest.guarded(RESTClientImpl)
_invoke: Callable[..., Any] = EventManagerBase._invoke_callback
_make_client: Callable[..., None] = lightbulb.Client.__init__

RESTClientImpl._request = _looked_after  # type: ignore[misc, method-assign, assignment]
EventManagerBase._invoke_callback = _invoke_looked_after  # type: ignore[method-assign, assignment]
lightbulb.Client.__init__ = _make_looked_after  # type: ignore[method-assign, assignment]
