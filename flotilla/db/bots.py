"""Bots: what operators want of them, and the page that shows it beside what the supervisor observes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.outbox import record
from flotilla.db.paging import Page, select_keyset_page
from flotilla.db.rows import bot_of, bots_with_status, outcome_of, overrides_of, status_of, stored_config
from flotilla.db.tables import bot_status, bot_tags, bots
from flotilla.db.uptime import ratios
from flotilla.domain.bots import Bot, BotView, Desired
from flotilla.domain.happenings import Happening
from flotilla.domain.operations import Selector
from flotilla.domain.policy import parse_overrides
from flotilla.domain.uptime import WINDOWS
from flotilla.domain.worker import State
from flotilla.errors import ConflictError, NotFoundError
from flotilla.ids import new_id

_LIVE = bots.c.deleted_at.is_(None)


@dataclass(frozen=True, slots=True)
class BotFilter:
    """Which bots a page shows; an empty part does not filter."""

    name: str | None = None
    tag: str | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """The whole fleet in numbers. by_state: states without a bot are left out."""

    by_state: dict[State, int]
    ready: int
    desired_running: int

    @property
    def total(self) -> int:
        """Number of bots."""
        return sum(self.by_state.values())


class SqlBots:
    """The bots of the fleet. Bots whose removal was asked for are not listed, counted or selected."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, bot: Bot, token_encrypted: bytes) -> None:
        """Store a new bot. Raises ConflictError (`name_taken`, `token_taken`) if its name or application is there."""
        try:
            async with self._database.write() as connection:
                await connection.execute(bots.insert().values(**_bot_values(bot), token_encrypted=token_encrypted))
                if bot.tags:
                    await connection.execute(bot_tags.insert(), [{"bot_id": bot.id, "tag": tag} for tag in bot.tags])
        except IntegrityError as fault:
            raise await self._conflict(bot) from fault

    async def get(self, bot_id: str) -> BotView:
        """Return one bot, also one that is being removed, until it is gone. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = (await connection.execute(bots_with_status().where(bots.c.id == bot_id))).one_or_none()
            if row is None:
                raise _no_bot()
            return (await _with_tags_and_uptime(connection, [row]))[0]

    async def page(self, wanted: BotFilter, limit: int, cursor: str | None) -> Page[BotView]:
        """Return up to `limit` bots in the order of their names. Raises FixInputError for a malformed cursor."""
        query = _views().order_by(bots.c.name)
        if wanted.name is not None:
            query = query.where(bots.c.name == wanted.name)
        if wanted.tag is not None:
            query = query.where(_tagged([wanted.tag]))
        if wanted.state is not None:
            query = query.where(_in_states([wanted.state]))
        async with self._database.read() as connection:
            rows = await select_keyset_page(connection, query, limit, cursor)
            return Page(await _with_tags_and_uptime(connection, rows.items), rows.next_cursor)

    async def select(self, selector: Selector) -> list[BotView]:
        """Return the bots that match every part of `selector`, in the order of their names, without their uptime.

        Raises NotFoundError (`bots_unknown`) naming the ids or names that no bot has: a typo must not pass as success.
        """
        query = _views().order_by(bots.c.name)
        if selector.ids:
            query = query.where(bots.c.id.in_(selector.ids))
        if selector.names:
            query = query.where(bots.c.name.in_(selector.names))
        if selector.tags:
            query = query.where(_tagged(selector.tags))
        if selector.states:
            query = query.where(_in_states(selector.states))
        async with self._database.read() as connection:
            await _require_known(connection, selector)
            found = (await connection.execute(query)).all()
        return [BotView(bot_of(row), status_of(row)) for row in found]

    async def counts(self) -> FleetCounts:
        """Return the fleet's numbers, all of one moment."""
        state = sa.func.coalesce(bot_status.c.state, State.STOPPED.value).label("state")
        ready = sa.func.sum(sa.case((bot_status.c.ready, 1), else_=0)).label("ready")
        wanted = sa.func.sum(sa.case((bots.c.desired == Desired.RUNNING.value, 1), else_=0)).label("wanted")
        query = (
            sa.select(state, sa.func.count().label("number"), ready, wanted)
            .select_from(bots.outerjoin(bot_status))
            .where(_LIVE)
            .group_by(state)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return FleetCounts(
            {State(row.state): row.number for row in rows},
            sum(row.ready for row in rows),
            sum(row.wanted for row in rows),
        )

    async def restart(self, bot_id: str) -> None:
        """Ask for a new incarnation of a bot that is to run.

        Raises NotFoundError, and ConflictError (`bot_stopped`) for a bot that is to be stopped: a restart that
        starts a bot which somebody stopped on purpose would surprise them.
        """
        wanted = (bots.c.id == bot_id, _LIVE, bots.c.desired == Desired.RUNNING.value)
        async with self._database.write() as connection:
            change = bots.update().where(*wanted).values(desired_epoch=bots.c.desired_epoch + 1)
            if (await connection.execute(change)).rowcount:
                return
            there = await connection.execute(sa.select(bots.c.id).where(bots.c.id == bot_id, _LIVE))
            if there.one_or_none() is None:
                raise _no_bot()
        raise ConflictError("This bot is stopped; start it instead.", code="bot_stopped")

    async def want(self, bot_id: str, desired: Desired, *, again: bool = False) -> None:
        """Set what is wanted of a bot. again: ask for a new incarnation, as a restart does.

        Wanting RUNNING of a bot in FATAL or BACKOFF asks for a new try at once. Raises NotFoundError.
        """
        gave_up = sa.exists().where(
            bot_status.c.bot_id == bots.c.id, bot_status.c.state.in_([State.FATAL.value, State.BACKOFF.value])
        )
        step = sa.literal(1) if again else sa.case((gave_up, 1), else_=0)
        changes: dict[str, Any] = {"desired": desired.value}
        if desired is Desired.RUNNING:
            changes["desired_epoch"] = bots.c.desired_epoch + step
        async with self._database.write() as connection:
            result = await connection.execute(bots.update().where(bots.c.id == bot_id, _LIVE).values(**changes))
        if result.rowcount == 0:
            raise _no_bot()

    async def override(self, bot_id: str, changes: Mapping[str, object]) -> Bot:
        """Change what a bot has in place of the fleet's policy, and return it; None leaves a name to the fleet.

        Raises NotFoundError, and FixInputError (`policy_invalid`), and then changes nothing.
        """
        async with self._database.write() as connection:
            query = sa.select(bots.c.overrides).where(bots.c.id == bot_id, _LIVE).with_for_update(key_share=True)
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                raise _no_bot()
            overrides = parse_overrides(overrides_of(row.overrides).given() | dict(changes))
            change = bots.update().where(bots.c.id == bot_id).values(overrides=overrides.given())
            await connection.execute(change)
        return (await self.get(bot_id)).bot

    async def sync_commands(self, bot_id: str) -> Bot:
        """Order a bot's commands to be registered whatever was registered before, and return it. Raises NotFoundError.

        One that is stopped registers them when it starts.
        """
        change = bots.update().where(bots.c.id == bot_id, _LIVE).values(commands_epoch=bots.c.commands_epoch + 1)
        async with self._database.write() as connection:
            result = await connection.execute(change)
        if result.rowcount == 0:
            raise _no_bot()
        return (await self.get(bot_id)).bot

    async def replace_token(self, bot_id: str, application_id: str, token_encrypted: bytes, now: datetime) -> Bot:
        """Give a bot another token of its own application, and return it; one that is to run is started anew for it.

        The token before is forgotten. Raises NotFoundError, and ConflictError (`token_of_another`) when the bot is
        another application's, and then changes nothing.
        """
        there = (bots.c.id == bot_id, _LIVE)
        event = Happening(new_id(now), bot_id, now, "token_replaced")
        async with self._database.write() as connection:
            change = bots.update().where(*there, bots.c.application_id == application_id)
            values = {"token_encrypted": token_encrypted, "desired_epoch": bots.c.desired_epoch + 1}
            if (await connection.execute(change.values(**values))).rowcount == 0:
                owner = (await connection.execute(sa.select(bots.c.application_id).where(*there))).scalar_one_or_none()
                raise _no_bot() if owner is None else _other_application(owner, application_id)
            await record(connection, [event])
        return (await self.get(bot_id)).bot

    async def remove(self, bot_id: str, now: datetime) -> None:
        """Ask for a bot's removal: the supervisor stops it, then drops the row. Raises NotFoundError."""
        change = bots.update().where(bots.c.id == bot_id, _LIVE).values(deleted_at=now, desired=Desired.STOPPED.value)
        async with self._database.write() as connection:
            result = await connection.execute(change)
        if result.rowcount == 0:
            raise _no_bot()

    async def tokens_encrypted(self) -> dict[str, bytes]:
        """Return every bot's token as stored, by bot id; for key rotation."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(bots.c.id, bots.c.token_encrypted))
            return {row.id: bytes(row.token_encrypted) for row in rows}

    async def replace_tokens_encrypted(self, tokens: dict[str, bytes]) -> None:
        """Store re-encrypted tokens, all or none."""
        async with self._database.write() as connection:
            for bot_id, token in tokens.items():
                await connection.execute(bots.update().where(bots.c.id == bot_id).values(token_encrypted=token))

    async def _conflict(self, bot: Bot) -> ConflictError:
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    sa.select(bots.c.name, bots.c.deleted_at).where(bots.c.application_id == bot.application_id)
                )
            ).one_or_none()
            named = (
                await connection.execute(sa.select(bots.c.deleted_at).where(bots.c.name == bot.name))
            ).one_or_none()
        if row is not None and row.deleted_at is None:
            return ConflictError(
                f"This token's application already runs here as {row.name!r}. One bot has one process.",
                code="token_taken",
                name=row.name,
            )
        if row is not None or (named is not None and named.deleted_at is not None):
            return ConflictError(
                "The bot of that name or token is still being removed. Try again when the supervisor has stopped it.",
                code="still_removing",
            )
        return ConflictError(f"There is a bot named {bot.name!r} already. Choose another name.", code="name_taken")


def _views() -> sa.Select[Any]:
    return bots_with_status().where(_LIVE)


def _tagged(tags: Iterable[str]) -> sa.ColumnElement[bool]:
    return sa.exists().where(bot_tags.c.bot_id == bots.c.id, bot_tags.c.tag.in_(list(tags)))


def _in_states(states: Iterable[State]) -> sa.ColumnElement[bool]:
    return sa.func.coalesce(bot_status.c.state, State.STOPPED.value).in_([state.value for state in states])


async def _require_known(connection: AsyncConnection, selector: Selector) -> None:
    missing: list[str] = []
    for column, asked in ((bots.c.id, selector.ids), (bots.c.name, selector.names)):
        if asked:
            found = set((await connection.execute(sa.select(column).where(column.in_(asked), _LIVE))).scalars())
            missing += [value for value in asked if value not in found]
    if missing:
        shown = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")  # noqa: PLR2004 - a readable sentence
        raise NotFoundError(f"No bot here is called or has the id: {shown}", code="bots_unknown")


async def _with_tags_and_uptime(connection: AsyncConnection, rows: Sequence[sa.Row[Any]]) -> list[BotView]:
    ids = [row.id for row in rows]
    tags: dict[str, list[str]] = {}
    for tag in await connection.execute(sa.select(bot_tags).where(bot_tags.c.bot_id.in_(ids)).order_by(bot_tags.c.tag)):
        tags.setdefault(tag.bot_id, []).append(tag.tag)
    end = datetime.now(UTC)
    uptime = await ratios(connection, ids, end - WINDOWS["24h"], end)
    return [
        BotView(bot_of(row, tuple(tags.get(row.id, ()))), status_of(row), uptime.get(row.id), outcome_of(row))
        for row in rows
    ]


def _no_bot() -> NotFoundError:
    # The id is not repeated: what stands in its place may be a token.
    return NotFoundError("There is no bot with this id.", code="bot_unknown")


def _other_application(owner: str, given: str) -> ConflictError:
    return ConflictError(
        f"This token belongs to application {given}, the bot to application {owner}. Copy the token of {owner} from "
        "the Developer Portal, or add another bot for this one.",
        code="token_of_another",
    )


def _bot_values(bot: Bot) -> dict[str, Any]:
    return {
        "id": bot.id,
        "name": bot.name,
        "application_id": bot.application_id,
        "desired": bot.desired.value,
        "desired_epoch": bot.desired_epoch,
        "created_at": bot.created_at,
        "deleted_at": bot.deleted_at,
        "overrides": bot.overrides.given(),
        "config": stored_config(bot.config),
        "config_version": bot.config_version,
        "guilds_version": bot.guilds_version,
    }
