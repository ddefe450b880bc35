"""A bot author's commands and listeners that take their time, fail, or say nothing, with lightbulb and with hikari."""

import asyncio
from collections.abc import Awaitable, Callable

import hikari
import lightbulb

loader = lightbulb.Loader()
PRIVATE = hikari.MessageFlag.EPHEMERAL
RAISED: list[BaseException] = []


async def public(ctx: lightbulb.Context) -> None:
    await ctx.respond("public", embed=hikari.Embed(title="an embed"), attachment=hikari.Bytes(b"text", "a.txt"))


async def private(ctx: lightbulb.Context) -> None:
    await ctx.respond("secret", ephemeral=True, attachment=hikari.Bytes(b"text", "a.txt"))


async def defer_private(ctx: lightbulb.Context) -> None:
    await ctx.defer(ephemeral=True)
    await ctx.respond("secret")


async def defer_public(ctx: lightbulb.Context) -> None:
    await ctx.defer()
    await ctx.interaction.edit_initial_response("public")


async def changing(ctx: lightbulb.Context) -> None:
    response = await ctx.respond("secret one", ephemeral=True)
    assert (await ctx.fetch_response(response)).content == "secret one"
    await ctx.edit_response(response, "secret two")
    await ctx.respond("more")


async def gone(ctx: lightbulb.Context) -> None:
    response = await ctx.respond("secret", ephemeral=True)
    await ctx.delete_response(response)
    await ctx.respond("public instead")


async def voice(ctx: lightbulb.Context) -> None:
    audio = hikari.Bytes(b"RIFF", "a.ogg")
    await ctx.client.rest.create_interaction_voice_message_response(
        ctx.interaction, ctx.interaction.token, audio, "AAAA", 1.0, flags=PRIVATE
    )


async def modal(ctx: lightbulb.Context) -> None:
    row = hikari.impl.ModalActionRowBuilder().add_text_input("field", "Field")
    try:
        await ctx.respond_with_modal("Form", "form", components=[row])
    except hikari.BadRequestError as error:
        RAISED.append(error)


async def raising(_ctx: lightbulb.Context) -> None:
    raise LookupError("what the author did not think of")


async def raising_after(ctx: lightbulb.Context) -> None:
    await ctx.respond("public")
    raise LookupError("what the author did not think of")


async def raising_deferred(ctx: lightbulb.Context) -> None:
    await ctx.defer()
    raise LookupError("what the author did not think of")


async def handled(_ctx: lightbulb.Context) -> None:
    raise PermissionError("what the author's own handler knows")


async def silent(_ctx: lightbulb.Context) -> None:
    pass


async def buttons(ctx: lightbulb.Context) -> None:
    row = hikari.impl.MessageActionRowBuilder()
    for how in ("update", "message", "defer", "raise", "modal"):
        row.add_interactive_button(hikari.ButtonStyle.PRIMARY, f"press:{how}", label=how)
    await ctx.respond("buttons", component=row)


HOW: dict[str, Callable[[lightbulb.Context], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        public,
        private,
        defer_private,
        defer_public,
        changing,
        gone,
        voice,
        modal,
        raising,
        raising_after,
        raising_deferred,
        handled,
        silent,
        buttons,
    )
}


async def complete(ctx: lightbulb.AutocompleteContext[str]) -> None:
    await asyncio.sleep(float(ctx.focused.value or 0))
    await ctx.respond(["a", "b"])


@loader.command
class Slow(lightbulb.SlashCommand, name="slow", description="Take time, then do something."):
    how = lightbulb.string("how", "what is done")
    wait_ms = lightbulb.integer("wait_ms", "how long it takes", default=0)
    word = lightbulb.string("word", "completed slowly", default="", autocomplete=complete)

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await asyncio.sleep(self.wait_ms / 1000)
        await HOW[self.how](ctx)


@loader.error_handler
async def on_error(failure: lightbulb.exceptions.ExecutionPipelineFailedException) -> bool:
    """Answer, but do not say that it is handled, as authors do who forget it."""
    if isinstance(failure.causes[0], PermissionError):
        await failure.context.respond("the author's own words", ephemeral=True)
    return False


@loader.listener(hikari.InteractionCreateEvent)
async def on_interaction(event: hikari.InteractionCreateEvent) -> None:
    """Answer as bots do that were written for hikari alone."""
    match event.interaction:
        case hikari.ComponentInteraction() as pressed if pressed.custom_id.startswith("press:"):
            await asyncio.sleep(0.4)
            await on_press(pressed, pressed.custom_id.removeprefix("press:"))
        case hikari.ModalInteraction() as submitted:
            await asyncio.sleep(0.4)
            await submitted.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, "secret form", flags=PRIVATE)
        case hikari.CommandInteraction(command_name="plain") as command:
            await asyncio.sleep(0.4)
            await command.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_CREATE)
            await command.edit_initial_response("plain")
            await command.execute("secret more", flags=PRIVATE)
        case hikari.CommandInteraction(command_name="plain-raise"):
            raise LookupError("what the author did not think of")


async def on_press(pressed: hikari.ComponentInteraction, how: str) -> None:
    if how == "update":
        await pressed.create_initial_response(hikari.ResponseType.MESSAGE_UPDATE, "updated", components=[])
    elif how == "message":
        await pressed.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, "secret pressed", flags=PRIVATE)
        await pressed.edit_initial_response("secret pressed twice")
    elif how == "defer":
        await pressed.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_CREATE, flags=PRIVATE)
        await pressed.edit_initial_response("secret at last")
    elif how == "modal":
        row = hikari.impl.ModalActionRowBuilder().add_text_input("field", "Field")
        await pressed.create_modal_response("Form", "form", components=[row])
    else:
        raise LookupError("what the author did not think of")
