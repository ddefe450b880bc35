"""Interactions: their token's two lives (3 s to answer, 15 min to follow up) and the messages they make. Pure."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox import errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.messages import messages
from sandbox.snowflakes import Sequence
from sandbox.world.objects import Json, User

MESSAGE, DEFERRED, MODAL = 4, 5, 9
_ANSWERS = (MESSAGE, DEFERRED, MODAL)
_CHAT_INPUT_COMMAND_MESSAGE = 20


@dataclass(slots=True)
class Interaction:
    """One interaction. Times are Unix seconds; `on_response` is called once, when the initial response arrives."""

    id: str
    token: str
    application_id: str
    bot: User
    user: User
    guild_id: str
    channel_id: str
    command: str
    opened_at: float
    responded_at: float | None = None
    response: Json | None = None
    original: Json | None = None
    follow_ups: dict[str, Json] = field(default_factory=dict)
    on_response: Callable[[], None] | None = None

    @property
    def status(self) -> str:
        """`pending`, `answered` or `deferred`: how the initial response came."""
        if self.response is None:
            return "pending"
        return "deferred" if self.response["type"] == DEFERRED else "answered"

    @property
    def elapsed_ms(self) -> float | None:
        """Milliseconds from the dispatch to the initial response."""
        return None if self.responded_at is None else round((self.responded_at - self.opened_at) * 1000, 3)

    def as_json(self) -> Json:
        """Return what the control API tells about it."""
        return {
            "interaction_id": self.id,
            "command": self.command,
            "status": self.status,
            "elapsed_ms": self.elapsed_ms,
            "response": self.response,
            "message": self.original,
            "follow_ups": list(self.follow_ups.values()),
        }


class Interactions:
    """The interactions of all applications. Raises DiscordError where Discord would refuse."""

    def __init__(self, ids: Sequence, mint_token: Callable[[], str]) -> None:
        self._ids = ids
        self._mint_token = mint_token
        self._by_id: OrderedDict[str, Interaction] = OrderedDict()
        self._by_token: dict[str, Interaction] = {}

    def open(
        self, application_id: str, bot: User, user: User, home: tuple[str, str], command: str, now: float
    ) -> Interaction:
        """Open an interaction in `home`, a guild's id and a channel's."""
        guild_id, channel_id = home
        interaction_id, token = self._ids.next(now), self._mint_token()
        interaction = Interaction(interaction_id, token, application_id, bot, user, guild_id, channel_id, command, now)
        self._by_id[interaction_id] = self._by_token[token] = interaction
        while len(self._by_id) > limits.INTERACTIONS_KEPT:
            self._forget(next(iter(self._by_id.values())))
        return interaction

    def find(self, interaction_id: str) -> Interaction | None:
        """Return an interaction still remembered: at least until its token has expired."""
        return self._by_id.get(interaction_id)

    def respond(self, interaction_id: str, token: str, body: Json, now: float) -> Interaction:
        """Take the initial response, a callback's body."""
        interaction = self._by_id.get(interaction_id)
        if interaction is None or interaction.token != token:
            raise DiscordError(errors.UNKNOWN_INTERACTION)
        if interaction.response is not None:
            raise DiscordError(errors.ALREADY_ACKNOWLEDGED)
        if now - interaction.opened_at > limits.INITIAL_RESPONSE_S:
            raise DiscordError(errors.UNKNOWN_INTERACTION)
        faults = FieldFaults()
        faults.choice(("type",), body.get("type"), _ANSWERS)
        content = faults.mapping(("data",), body.get("data"))
        faults.integer(("data", "flags"), content.get("flags"))
        faults.raise_if_any()
        if body["type"] == MESSAGE:
            messages.check(content, ("data",))
            interaction.original = self._message(interaction, content, now)
        elif body["type"] == DEFERRED:
            flags = (content.get("flags") or 0) & messages.EPHEMERAL
            interaction.original = self._message(interaction, {"flags": flags | messages.LOADING}, now)
        interaction.response = {"type": body["type"], "data": content}
        interaction.responded_at = now
        if interaction.on_response is not None:
            interaction.on_response()
        return interaction

    def follow_up(self, application_id: str, token: str, body: Json, now: float) -> Json:
        """Make a follow-up message and return it; the first one after a deferral fills the deferred message."""
        interaction = self._answered(application_id, token, now)
        messages.check(body)
        if interaction.original is not None and interaction.original["flags"] & messages.LOADING:
            return self.edit(application_id, token, "@original", body, now)
        message = self._message(interaction, body, now)
        interaction.follow_ups[message["id"]] = message
        return message

    def get(self, application_id: str, token: str, message_id: str, now: float) -> Json:
        """Return the original response (`@original`) or a follow-up."""
        interaction = self._answered(application_id, token, now)
        is_original = interaction.original is not None and message_id in {"@original", interaction.original["id"]}
        message = interaction.original if is_original else interaction.follow_ups.get(message_id)
        if message is None:
            raise DiscordError(errors.UNKNOWN_MESSAGE)
        return message

    def edit(self, application_id: str, token: str, message_id: str, body: Json, now: float) -> Json:
        """Change the original response or a follow-up and return it."""
        message = self.get(application_id, token, message_id, now)
        messages.check(body, may_be_empty=True)
        changed = messages.edited(message, body, now)
        if changed["flags"] & messages.LOADING:
            changed |= {"flags": changed["flags"] & ~messages.LOADING, "edited_timestamp": None}
        self._replace(self._by_token[token], message["id"], changed)
        return changed

    def delete(self, application_id: str, token: str, message_id: str, now: float) -> None:
        """Delete the original response or a follow-up."""
        message = self.get(application_id, token, message_id, now)
        self._replace(self._by_token[token], message["id"], None)

    def prune(self, now: float) -> None:
        """Forget interactions whose token has expired."""
        for interaction in list(self._by_id.values()):
            if now - interaction.opened_at <= limits.FOLLOW_UP_S:
                return
            self._forget(interaction)

    def _forget(self, interaction: Interaction) -> None:
        del self._by_id[interaction.id]
        del self._by_token[interaction.token]

    def _answered(self, application_id: str, token: str, now: float) -> Interaction:
        interaction = self._by_token.get(token)
        if (
            interaction is None
            or interaction.application_id != application_id
            or now - interaction.opened_at > limits.FOLLOW_UP_S
        ):
            raise DiscordError(errors.INVALID_WEBHOOK_TOKEN)
        if interaction.response is None:
            raise DiscordError(errors.UNKNOWN_WEBHOOK)
        return interaction

    def _message(self, interaction: Interaction, body: Json, now: float) -> Json:
        message = messages.create(body, self._ids.next(now), interaction.channel_id, interaction.bot, now)
        return message | {
            "type": _CHAT_INPUT_COMMAND_MESSAGE if interaction.original is None else 0,
            "application_id": interaction.application_id,
            "webhook_id": interaction.application_id,
            "interaction_metadata": {
                "id": interaction.id,
                "type": 2,
                "user": interaction.user.as_json(),
                "authorizing_integration_owners": {"0": interaction.guild_id},
            },
        }

    @staticmethod
    def _replace(interaction: Interaction, message_id: str, message: Json | None) -> None:
        if interaction.original is not None and interaction.original["id"] == message_id:
            interaction.original = message
        elif message is None:
            del interaction.follow_ups[message_id]
        else:
            interaction.follow_ups[message_id] = message


def callback_result(interaction: Interaction) -> Json:
    """Return the body of a callback with `with_response=true`."""
    original = interaction.original
    result: Json = {
        "interaction": {
            "id": interaction.id,
            "type": 2,
            "channel_id": interaction.channel_id,
            "guild_id": interaction.guild_id,
        }
    }
    if original is None:
        return result
    result["interaction"] |= {
        "response_message_id": original["id"],
        "response_message_loading": bool(original["flags"] & messages.LOADING),
        "response_message_ephemeral": bool(original["flags"] & messages.EPHEMERAL),
    }
    if interaction.status == "answered":
        result["resource"] = {"type": MESSAGE, "message": original}
    return result
