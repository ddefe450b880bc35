"""Interactions: their token's two lives (3 s to answer, 15 min to follow up) and the messages they make. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.interactions import callbacks
from sandbox.interactions.callbacks import Callback
from sandbox.messages import messages, rules
from sandbox.messages.attachments import Attachment, Upload
from sandbox.messages.store import MessageStore
from sandbox.snowflakes import Sequence
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.users import User

ORIGINAL = "@original"
Attach = Callable[[list[Upload], Json, str, float], list[Attachment]]


class Kind(IntEnum):
    """What a user did (documented: Interactions, Receiving and Responding)."""

    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL = 5


@dataclass(frozen=True, slots=True)
class Act:
    """What a user did, checked against what there is to do.

    name: of the command with its sub-commands, or a custom id. data: the interaction's `data`.
    source: the message whose component was used, or from which the modal came. via: what opened the modal.
    """

    kind: Kind
    name: str
    data: Json
    source: Json | None = None
    via: "Interaction | None" = None


@dataclass(slots=True)
class Interaction:
    """One interaction. Times are Unix seconds; `on_response` is called once, when the initial response arrives."""

    id: str
    token: str
    application_id: str
    bot: User
    user: User
    channel: Channel
    act: Act
    opened_at: float
    responded_at: float | None = None
    response: Json | None = None
    original_id: str | None = None
    message_ids: list[str] = field(default_factory=list)
    on_response: Callable[[], None] | None = None
    size: int = 0

    @property
    def status(self) -> str:
        """`pending`, `answered` or `deferred`: how the initial response came."""
        if self.response is None:
            return "pending"
        return "deferred" if self.response["type"] in callbacks.DEFERRALS else "answered"

    @property
    def elapsed_ms(self) -> float | None:
        """Milliseconds from the dispatch to the initial response."""
        return None if self.responded_at is None else round((self.responded_at - self.opened_at) * 1000, 3)


class Interactions:
    """The interactions of all applications. Raises DiscordError where Discord would refuse.

    attach: keeps the files of a request and returns their attachment objects. people: the users of the world.
    initial_response_s: how long an interaction waits for its first response.
    """

    def __init__(
        self,
        ids: Sequence,
        mint_token: Callable[[], str],
        store: MessageStore,
        attach: Attach,
        people: Mapping[str, User],
        initial_response_s: float = limits.INITIAL_RESPONSE_S,
    ) -> None:
        self._ids = ids
        self._mint_token = mint_token
        self._store = store
        self._attach = attach
        self._people = people
        self._initial_response_s = initial_response_s
        self._by_id: OrderedDict[str, Interaction] = OrderedDict()
        self._by_token: dict[str, Interaction] = {}
        self._bytes = 0
        self._private: OrderedDict[str, Json] = OrderedDict()

    def open(self, application_id: str, bot: User, user: User, channel: Channel, act: Act, now: float) -> Interaction:
        """Open an interaction in a channel."""
        interaction = Interaction(self._ids.next(now), self._mint_token(), application_id, bot, user, channel, act, now)
        self._by_id[interaction.id] = self._by_token[interaction.token] = interaction
        self._weigh(interaction, act.data)
        return interaction

    def _weigh(self, interaction: Interaction, data: Json) -> None:
        """Count what an interaction holds; with too many or too much, the oldest ones are forgotten."""
        size = len(msgspec.json.encode(data))
        interaction.size += size
        self._bytes += size
        while len(self._by_id) > limits.INTERACTIONS_KEPT or (
            self._bytes > limits.INTERACTIONS_KEPT_BYTES and len(self._by_id) > 1
        ):
            self._forget(next(iter(self._by_id.values())))

    def find(self, interaction_id: str) -> Interaction | None:
        """Return an interaction still remembered: at least until its token has expired."""
        return self._by_id.get(interaction_id)

    def owner_of(self, token: str) -> str | None:
        """Return the id of the application whose interaction has this token."""
        interaction = self._by_token.get(token)
        return None if interaction is None else interaction.application_id

    def private_message(self, message_id: str) -> Json | None:
        """Return an ephemeral message."""
        return self._private.get(message_id)

    def respond(self, interaction_id: str, token: str, body: Json, uploads: list[Upload], now: float) -> Interaction:
        """Take the initial response, a callback's body."""
        interaction = self._by_id.get(interaction_id)
        if interaction is None or interaction.token != token:
            raise DiscordError(errors.UNKNOWN_INTERACTION)
        if interaction.response is not None:
            raise DiscordError(errors.ALREADY_ACKNOWLEDGED)
        if now - interaction.opened_at > self._initial_response_s:
            raise DiscordError(errors.UNKNOWN_INTERACTION)
        act = interaction.act
        kind, data = callbacks.check(
            body,
            act.kind,
            has_source=act.source is not None,
            uploads=uploads,
            attached=[file["id"] for file in (act.source or {}).get("attachments", [])],
            focused=_focused(act.data.get("options", [])) or 0,
        )
        self._carry_out(interaction, kind, data, uploads, now)
        interaction.response = {"type": int(kind), "data": data}
        interaction.responded_at = now
        self._weigh(interaction, data)
        if interaction.on_response is not None:
            interaction.on_response()
        return interaction

    def _carry_out(
        self, interaction: Interaction, kind: Callback, data: Json, uploads: list[Upload], now: float
    ) -> None:
        act = interaction.act
        if kind is Callback.MESSAGE:
            interaction.original_id = self._new(interaction, data, uploads, now)["id"]
        elif kind is Callback.DEFERRED_MESSAGE:
            flags = (data.get("flags") or 0) & rules.EPHEMERAL
            interaction.original_id = self._new(interaction, {}, [], now, flags=flags | rules.LOADING)["id"]
        elif kind is Callback.UPDATE and act.source is not None:
            self._change(interaction, act.source["id"], data, uploads, now)
        if kind in {Callback.UPDATE, Callback.DEFERRED_UPDATE} and act.source is not None:
            interaction.original_id = act.source["id"]

    def original(self, interaction: Interaction) -> Json | None:
        """Return the original response: the message made or updated by the callback, while it is there."""
        return None if interaction.original_id is None else self._find(interaction, interaction.original_id)

    def follow_ups(self, interaction: Interaction) -> list[Json]:
        """Return the follow-up messages that are there, oldest first."""
        rows = [self._find(interaction, each) for each in interaction.message_ids if each != interaction.original_id]
        return [row for row in rows if row is not None]

    def follow_up(
        self, application_id: str, token: str, body: Json, uploads: list[Upload], now: float
    ) -> tuple[Json, bool]:
        """Make a follow-up message; return it and whether it is new.

        The first one after a deferral fills the deferred message.
        """
        interaction = self._answered(application_id, token, now)
        rules.check(body, uploads=uploads)
        original = self.original(interaction)
        if original is not None and original["flags"] & rules.LOADING:
            return self._change(interaction, original["id"], body, uploads, now), False
        return self._new(interaction, body, uploads, now, original), True

    def get(self, application_id: str, token: str, message_id: str, now: float) -> Json:
        """Return the original response (`@original`) or a follow-up."""
        interaction = self._answered(application_id, token, now)
        wanted = interaction.original_id if message_id == ORIGINAL else message_id
        mine = wanted == interaction.original_id or wanted in interaction.message_ids
        message = self._find(interaction, wanted) if wanted is not None and mine else None
        if message is None:
            raise DiscordError(errors.UNKNOWN_MESSAGE)
        return message

    def edit(
        self, application_id: str, token: str, message_id: str, body: Json, uploads: list[Upload], now: float
    ) -> Json:
        """Change the original response or a follow-up and return it."""
        message = self.get(application_id, token, message_id, now)
        attached = [file["id"] for file in message["attachments"]]
        rules.check(body, uploads=uploads, may_be_empty=True, flags_before=message["flags"], attached=attached)
        return self._change(self._by_token[token], message["id"], body, uploads, now)

    def delete(self, application_id: str, token: str, message_id: str, now: float) -> Json:
        """Delete the original response or a follow-up and return it."""
        message = self.get(application_id, token, message_id, now)
        if self._private.pop(message["id"], None) is None:
            self._store.delete(message["channel_id"], message["id"])
        return message

    def prune(self, now: float) -> None:
        """Forget interactions whose token has expired."""
        while self._by_id:
            oldest = next(iter(self._by_id.values()))
            if now - oldest.opened_at <= limits.FOLLOW_UP_S:
                return
            self._forget(oldest)

    def _forget(self, interaction: Interaction) -> None:
        del self._by_id[interaction.id]
        del self._by_token[interaction.token]
        self._bytes -= interaction.size
        for message_id in interaction.message_ids:
            self._private.pop(message_id, None)

    def _answered(self, application_id: str, token: str, now: float) -> Interaction:
        interaction = self._by_token.get(token)
        if (
            interaction is None
            or interaction.application_id != application_id
            or now - interaction.opened_at > limits.FOLLOW_UP_S
        ):
            raise DiscordError(errors.INVALID_WEBHOOK_TOKEN)
        if interaction.response is None or interaction.act.kind is Kind.AUTOCOMPLETE:
            raise DiscordError(errors.UNKNOWN_WEBHOOK)
        return interaction

    def _find(self, interaction: Interaction, message_id: str) -> Json | None:
        return self._private.get(message_id) or self._store.find(interaction.channel.id, message_id)

    def _put(self, message: Json) -> Json:
        if message["flags"] & rules.EPHEMERAL:
            self._private[message["id"]] = message
            if len(self._private) > limits.PRIVATE_MESSAGES_KEPT:
                self._private.popitem(last=False)
            return message
        return self._store.keep(message)

    def _new(
        self,
        interaction: Interaction,
        body: Json,
        uploads: list[Upload],
        now: float,
        original: Json | None = None,
        flags: int | None = None,
    ) -> Json:
        if flags is None:
            flags = (body.get("flags") or 0) & rules.FLAGS_OF_AN_ANSWER
        channel_id = interaction.channel.id
        files = self._attach(uploads, body, channel_id, now) if uploads else []
        author = interaction.bot.as_json()
        message = messages.create(body, self._ids.next(now), channel_id, author, now, self._people, files, flags)
        replied_to = original or interaction.act.source
        if replied_to is not None:
            message = messages.reply_to(message, replied_to, interaction.channel.guild_id, {})
        elif interaction.act.kind is Kind.COMMAND:
            is_slash = interaction.act.data["type"] == 1
            message["type"] = messages.CHAT_INPUT_COMMAND if is_slash else messages.CONTEXT_MENU_COMMAND
        message |= {
            "application_id": interaction.application_id,
            "webhook_id": interaction.application_id,
            "interaction_metadata": metadata(interaction),
        }
        interaction.message_ids.append(message["id"])
        if len(interaction.message_ids) > limits.FOLLOW_UPS_KEPT:
            self._private.pop(interaction.message_ids.pop(0), None)
        return self._put(message)

    def _change(self, interaction: Interaction, message_id: str, body: Json, uploads: list[Upload], now: float) -> Json:
        message = self._find(interaction, message_id)
        if message is None:
            raise DiscordError(errors.UNKNOWN_MESSAGE)
        files = self._attach(uploads, body, message["channel_id"], now) if uploads else []
        changed = messages.edited(message, body, now, self._people, files)
        if message["flags"] & rules.LOADING:
            changed |= {"flags": changed["flags"] & ~rules.LOADING, "edited_timestamp": None}
        return self._put(changed)


def _focused(options: list[Json]) -> int | None:
    """Return the type of the option that a user is typing into, None if there is none."""
    for option in options:
        if option.get("focused"):
            return int(option["type"])
        nested = _focused(option.get("options", []))
        if nested is not None:
            return nested
    return None


def metadata(interaction: Interaction) -> Json:
    """Return the `interaction_metadata` of the messages that an interaction makes."""
    act = interaction.act
    owner = interaction.channel.guild_id or "0"
    shown: Json = {
        "id": interaction.id,
        "type": int(act.kind),
        "user": interaction.user.as_json(),
        "authorizing_integration_owners": {"0": owner},
    }
    if act.kind is Kind.COMPONENT and act.source is not None:
        shown["interacted_message_id"] = act.source["id"]
    if act.kind is Kind.MODAL and act.via is not None:
        shown["triggering_interaction_metadata"] = metadata(act.via)
    return shown
