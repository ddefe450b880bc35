"""Warns, times out and purges. Each act asks for its reason in a form, is checked, and is told in a channel.

What a form is for stands in its custom id, so that a form that was opened before a restart can be submitted after it.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import hikari
import lightbulb

from worker_bot import authoring

ACT = "moderation:"
REASON = "reason"
MAX_MINUTES = 28 * 24 * 60
"""Discord times nobody out for longer."""

BULK_AGE = dt.timedelta(days=14)
"""Discord deletes older messages only one by one."""

loader = lightbulb.Loader()


class NotAllowedError(Exception):
    """The act may not be done; the message says why, to the one who tried."""


def form(act: str, user: hikari.User, amount: int = 0) -> tuple[str, str, hikari.api.ModalActionRowBuilder]:
    """Return title, custom id and the one field of the form that asks why."""
    row = hikari.impl.ModalActionRowBuilder()
    row.add_text_input(REASON, "Why?", style=hikari.TextInputStyle.PARAGRAPH, min_length=3, max_length=400)
    return f"{act.capitalize()} {user.username}"[:45], f"{ACT}{act}:{user.id}:{amount}", row


def require(member: hikari.InteractionMember | None, permission: hikari.Permissions) -> hikari.InteractionMember:
    """Return who acts, who must have the permission here. Raises NotAllowedError.

    `default_member_permissions` keep the commands from others already, but a guild's admins can change those.
    """
    if member is None:
        raise NotAllowedError("This works in a guild only.")
    if not member.permissions & (permission | hikari.Permissions.ADMINISTRATOR):
        raise NotAllowedError("You may not do that here.")
    return member


async def require_below(actor: hikari.InteractionMember, user_id: int, app: hikari.RESTAware) -> hikari.Member:
    """Return the member who is acted upon: not the actor, and with no role as high. Raises NotAllowedError."""
    if user_id == actor.id:
        raise NotAllowedError("Not yourself.")
    try:
        member = await app.rest.fetch_member(actor.guild_id, user_id)
    except hikari.NotFoundError:
        raise NotAllowedError("That user is not here any more.") from None
    guild = await app.rest.fetch_guild(actor.guild_id)
    if user_id == guild.owner_id:
        raise NotAllowedError("Not the owner.")
    height = {role.id: role.position for role in await app.rest.fetch_roles(actor.guild_id)}

    def highest(roles: Sequence[hikari.Snowflake]) -> int:
        return max((height.get(role, 0) for role in roles), default=0)

    if actor.id != guild.owner_id and highest(member.role_ids) >= highest(actor.role_ids):
        raise NotAllowedError("Their role is as high as yours.")
    return member


async def write_down(app: hikari.RESTAware, guild_id: int, text: str) -> None:
    """Tell an act in the channel that the bot's or the guild's settings name, if they do."""
    channel = (await authoring.guild_settings(__name__, guild_id)).get("log_channel")
    if channel:
        await app.rest.create_message(int(channel), text, user_mentions=False, role_mentions=False)


async def ask(ctx: lightbulb.Context, what: str, user: hikari.User, amount: int = 0) -> None:
    """Open the form that asks why, or say why not."""
    try:
        actor = require(ctx.interaction.member, hikari.Permissions.MODERATE_MEMBERS)
        await require_below(actor, int(user.id), ctx.client.app)
    except NotAllowedError as why:
        await ctx.respond(str(why), ephemeral=True)
        return
    title, custom_id, row = form(what, user, amount)
    await ctx.respond_with_modal(title, custom_id, components=[row])


@loader.command
class Warn(
    lightbulb.SlashCommand,
    name="warn",
    description="Warns a member.",
    default_member_permissions=hikari.Permissions.MODERATE_MEMBERS,
):
    """Warns in private."""

    user = lightbulb.user("user", "Who.")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Ask why."""
        await ask(ctx, "warn", self.user)


@loader.command
class Timeout(
    lightbulb.SlashCommand,
    name="timeout",
    description="Keeps a member from writing for a while.",
    default_member_permissions=hikari.Permissions.MODERATE_MEMBERS,
):
    """Times out."""

    user = lightbulb.user("user", "Who.")
    minutes = lightbulb.integer("minutes", "For how long.", min_value=1, max_value=MAX_MINUTES)

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Ask why."""
        await ask(ctx, "timeout", self.user, self.minutes)


@loader.command
class Purge(
    lightbulb.SlashCommand,
    name="purge",
    description="Deletes the last messages of this channel.",
    default_member_permissions=hikari.Permissions.MANAGE_MESSAGES,
):
    """Deletes many messages at once."""

    count = lightbulb.integer("count", "How many.", min_value=1, max_value=100)

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Defer first: it takes several requests."""
        try:
            actor = require(ctx.interaction.member, hikari.Permissions.MANAGE_MESSAGES)
        except NotAllowedError as why:
            await ctx.respond(str(why), ephemeral=True)
            return
        await ctx.defer(ephemeral=True)
        rest, since = ctx.client.app.rest, dt.datetime.now(dt.UTC) - BULK_AGE
        found = await rest.fetch_messages(ctx.channel_id).limit(self.count)
        young = [message for message in found if message.created_at > since]
        await rest.delete_messages(ctx.channel_id, young)
        told = f"{ctx.user.mention} deleted {len(young)} messages in <#{ctx.channel_id}>."
        await write_down(ctx.client.app, int(actor.guild_id), told)
        await ctx.respond(f"Deleted {len(young)} messages.")


@loader.listener(hikari.ModalInteractionCreateEvent)
async def act(event: hikari.ModalInteractionCreateEvent) -> None:
    """Do what a submitted form is for, if it may still be done."""
    submitted = event.interaction
    if not submitted.custom_id.startswith(ACT):
        return
    what, user_id, amount = submitted.custom_id.removeprefix(ACT).split(":")
    reason = _field(submitted, REASON)
    try:
        actor = require(submitted.member, hikari.Permissions.MODERATE_MEMBERS)
        member = await require_below(actor, int(user_id), submitted.app)
        done = await _do(what, member, int(amount), reason)
    except NotAllowedError as why:
        done = ""
        told = str(why)
    else:
        told = f"{member.mention} was {done}."
    await submitted.create_initial_response(
        hikari.ResponseType.MESSAGE_CREATE, told, flags=hikari.MessageFlag.EPHEMERAL, user_mentions=False
    )
    if done:
        text = f"{submitted.user.mention}: {told} {reason}"
        await write_down(submitted.app, int(submitted.guild_id or 0), text)


async def _do(what: str, member: hikari.Member, minutes: int, reason: str) -> str:
    """Warn or time out; return what was done. Raises NotAllowedError if Discord does not let the bot."""
    try:
        if what == "timeout":
            until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
            await member.edit(communication_disabled_until=until, reason=reason)
            return f"timed out for {minutes} min"
        await member.user.send(f"You were warned: {reason}")
    except hikari.ForbiddenError:
        raise NotAllowedError("Discord does not let me do that.") from None
    return "warned"


def _field(submitted: hikari.ModalInteraction, custom_id: str) -> str:
    parts: list[Any] = [part for row in submitted.components for part in getattr(row, "components", ())]
    return next((str(part.value) for part in parts if part.custom_id == custom_id), "")
