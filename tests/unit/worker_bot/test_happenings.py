"""What Discord does to a bot is told until it is stored, by its next worker if need be."""

from pathlib import Path
from typing import Any

import hikari
import pytest

from flotilla.protocol import Happened
from flotilla.redaction import hide
from tests import guilds as discord
from worker_bot import happenings as module
from worker_bot.guilds import SETTLE_S
from worker_bot.happenings import GUILDS, LEFT, Happenings


class Shard:
    """As far as happenings take one. me: known from the session that it resumes."""

    id, shard_count = 0, 1

    def __init__(self, me: int | None = None) -> None:
        self.me = me

    def get_user_id(self) -> int:
        if self.me is None:
            raise hikari.ComponentStateConflictError("not known yet")
        return self.me


class Case:
    """A bot that dies and comes back; `there` says whether its supervisor is."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.there = folder, True
        self.batches: list[Happened] = []
        self.app = discord.bot()
        self.begin()

    def begin(self, me: int | None = None) -> None:
        self.shard: Any = Shard(me)
        self.happenings = Happenings(self.send, self.folder, self.app.cache)

    def send(self, message: Happened) -> bool:
        if self.there:
            self.batches.append(message)
        return self.there

    def see(self, event: str, payload: Any) -> None:
        self.happenings.see(event, self.shard, payload)

    def told(self) -> list[str]:
        """Tell, have it stored, and return the codes."""
        self.batches.clear()
        self.happenings.beat()
        codes = []
        while self.batches:
            batch = self.batches.pop(0)
            codes += [row.code for row in batch.rows]
            self.happenings.stored(batch.number)
        return codes


@pytest.fixture
async def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


async def test_sessions_and_what_breaks_them_are_told(case: Case) -> None:
    case.see("READY", discord.ready("s", 1))
    case.happenings.dropped(0, 4000, "closed by Discord")
    case.see("RESUMED", {})
    case.happenings.beat()
    [batch] = case.batches
    assert [(row.code, row.detail) for row in batch.rows] == [
        ("session_began", {"shard": 0, "guilds": 1}),
        ("disconnected", {"shard": 0, "close_code": 4000, "why": "closed by Discord"}),
        ("session_resumed", {"shard": 0}),
    ]
    assert len({row.id for row in batch.rows}) == 3


@pytest.mark.parametrize("payload", [None, [], {}, {"guilds": 5}, {"id": "x"}, {"user": {"id": "1"}, "guilds": [{}]}])
async def test_what_is_not_discords_raises_nothing(case: Case, payload: Any) -> None:
    for event in (
        "READY",
        "GUILD_CREATE",
        "GUILD_DELETE",
        "GUILD_ROLE_UPDATE",
        "CHANNEL_UPDATE",
        "GUILD_MEMBER_UPDATE",
    ):
        case.see(event, payload)
    assert set(case.told()) <= {"session_began"}


async def test_the_next_worker_knows_the_guilds_and_who_it_is(case: Case) -> None:
    case.see("READY", discord.ready("s", 1, 2))
    case.see("GUILD_CREATE", discord.guild(1))
    case.see("GUILD_CREATE", discord.guild(2))
    case.told()
    assert case.folder is not None
    assert (case.folder / GUILDS).stat().st_mode & 0o777 == 0o600
    case.begin(me=discord.ME)
    case.see("RESUMED", {})
    case.see("GUILD_CREATE", discord.guild(2))
    case.see("GUILD_DELETE", {"id": str(discord.guild_id(1))})
    assert case.told() == ["session_resumed", "guild_left"]
    case.begin()
    case.see("READY", discord.ready("t"))
    assert case.told() == ["guild_left", "session_began"]


async def test_what_is_not_stored_is_left_to_the_next_worker(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    case.begin()
    case.there = False
    for _ in range(3):
        case.see("RESUMED", {})
    case.happenings.leave()
    case.there = True
    case.begin()
    assert case.told() == ["session_resumed"] * 2
    assert case.folder is not None
    assert not (case.folder / LEFT).exists()


async def test_a_permission_that_is_going_is_told_by_the_worker_that_goes(case: Case) -> None:
    guild = discord.guild(1, roles=1)
    case.see("READY", discord.ready("s", 1))
    case.see("GUILD_CREATE", guild)
    case.told()
    role = guild["roles"][0] | {"permissions": "0"}
    case.see("GUILD_ROLE_UPDATE", {"guild_id": guild["id"], "role": role})
    assert case.told() == [], f"it may come back within {SETTLE_S} s"
    case.happenings.leave()
    assert [row.code for batch in case.batches for row in batch.rows] == ["permissions_lost"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x81\x01\x02"])
async def test_damaged_files_cost_only_themselves(case: Case, damage: bytes) -> None:
    assert case.folder is not None
    for name in (GUILDS, LEFT):
        (case.folder / name).write_bytes(damage)
    case.begin()
    case.see("READY", discord.ready("s", 1))
    assert case.told() == ["session_began"]


async def test_without_a_folder_or_room_on_the_disk_it_is_told_all_the_same(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "gone"):
        case = Case(folder)
        case.see("READY", discord.ready("s", 1))
        assert case.told() == ["session_began"]
        case.happenings.leave()


async def test_roles_and_overwrites_come_from_the_bots_cache(case: Case) -> None:
    factory: Any = case.app.entity_factory
    cache: Any = case.app.cache
    guild = discord.guild(1, channels=1, roles=1)
    built = factory.deserialize_gateway_guild(guild, user_id=discord.ME)
    for channel in built.channels().values():
        cache.set_guild_channel(channel)
    for role in built.roles().values():
        cache.set_role(role)
    [role], [channel] = guild["roles"], guild["channels"]
    assert case.happenings._role_permissions(int(role["id"])) == int(role["permissions"])
    assert case.happenings._role_permissions(5) is None
    assert case.happenings._overwrites(int(channel["id"])) == {discord.guild_id(1): (1024, 0)}
    assert case.happenings._overwrites(5) is None


def test_what_is_told_has_no_secret_of_the_bot() -> None:
    hide(["correct horse"])
    try:
        case = Case(None)
        case.happenings.dropped(0, 4000, "closed with correct horse")
        case.happenings.beat()
    finally:
        hide(())
    assert case.batches[0].rows[0].detail == {"shard": 0, "close_code": 4000, "why": "closed with [redacted]"}
