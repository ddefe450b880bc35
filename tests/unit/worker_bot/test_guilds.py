"""Guilds and permissions from the events that tell of them, as Discord sends them."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests import guilds as discord
from worker_bot.guilds import MAX_WAITING, SETTLE_S, Guilds, Place
from worker_bot.permissions import ADMINISTRATOR, ALL, Overwrite, in_channel, in_guild, names_of

VIEW, SEND, EMBED = 1 << 10, 1 << 11, 1 << 14
OWN = 77
ONE, TWO, THREE = (discord.guild_id(number) for number in (1, 2, 3))


def a_guild(number: int, *, own: int = VIEW | SEND, everyone: int = 0, **fields: Any) -> dict[str, Any]:
    guild = discord.guild(number) | fields
    guild["roles"] = [discord.role(guild_id := discord.guild_id(number), 0), discord.role(OWN, 1)]
    guild["roles"][0]["permissions"], guild["roles"][1]["permissions"] = str(everyone), str(own)
    guild["members"] = [discord.member(guild_id) | {"roles": [str(OWN)]}]
    return guild


class Case:
    """A bot with one shard, its clock and what it told."""

    def __init__(self, known: dict[int, Place] | None = None) -> None:
        self.now = 0.0
        self.roles: dict[int, int] = {}
        self.overwrites: dict[int, Mapping[int, Overwrite]] = {}
        self.guilds = Guilds(known, self.roles.get, self.overwrites.get)

    def see(self, event: str, /, **payload: Any) -> list[tuple[str, dict[str, Any]]]:
        return self.guilds.see(event, 0, 1, payload, self.now)

    def codes(self, event: str, /, **payload: Any) -> list[str]:
        return [code for code, _ in self.see(event, **payload)]

    def ready(self, *numbers: int) -> list[tuple[str, dict[str, Any]]]:
        return self.see("READY", **discord.ready("s", *numbers))

    def settle(self) -> list[tuple[str, dict[str, Any]]]:
        self.now += SETTLE_S
        return self.guilds.settled(self.now)

    def lost(self) -> list[str]:
        told = self.settle()
        assert {code for code, _ in told} <= {"permissions_lost"}
        return [name for _, detail in told for name in detail["lost"]]


def begun(*numbers: int, **fields: Any) -> Case:
    case = Case()
    case.ready(*numbers)
    for number in numbers:
        case.see("GUILD_CREATE", **a_guild(number, **fields))
    return case


def test_the_guilds_of_a_start_are_not_joined_and_those_after_it_are() -> None:
    case = Case()
    assert case.ready(1, 2) == []
    assert case.codes("GUILD_CREATE", **a_guild(1)) == []
    told = case.see("GUILD_CREATE", **a_guild(3, member_count=5))
    where = {"guild_id": str(THREE), "guild": "guild 3"}
    assert told == [("guild_joined", where | {"members": 5, "while_away": False})]
    assert case.codes("GUILD_CREATE", **a_guild(2)) == []
    assert case.see("GUILD_DELETE", id=str(THREE)) == [("guild_left", where | {"while_away": False})]
    assert case.codes("GUILD_DELETE", id=str(THREE)) == []


def test_an_outage_is_no_leave() -> None:
    case = begun(1)
    where = {"guild_id": str(ONE), "guild": "guild 1"}
    assert case.see("GUILD_DELETE", id=str(ONE), unavailable=True) == [("guild_unavailable", where)]
    assert case.codes("GUILD_DELETE", id=str(ONE), unavailable=True) == []
    assert case.codes("GUILD_CREATE", id=str(ONE), unavailable=True) == []
    assert case.see("GUILD_CREATE", **a_guild(1)) == [("guild_available", where)]
    case.see("GUILD_DELETE", id=str(ONE), unavailable=True)
    assert case.codes("GUILD_DELETE", id=str(ONE)) == ["guild_left"]


def test_what_came_and_went_while_nobody_was_there_is_found() -> None:
    before = begun(1, 2)
    case = Case(before.guilds.left())
    where = {"guild_id": str(TWO), "guild": "guild 2"}
    assert case.ready(1, 3) == [("guild_left", where | {"while_away": True})]
    assert case.codes("GUILD_CREATE", **a_guild(1)) == []
    [(code, detail)] = case.see("GUILD_CREATE", **a_guild(3))
    assert (code, detail["guild"], detail["while_away"]) == ("guild_joined", "guild 3", True)
    assert case.ready(1, 3) == []


def test_shards_compare_their_own_guilds_alone() -> None:
    case = begun(1, 2)
    guild = {"id": str(ONE)}
    shard = (ONE >> 22) % 2
    others = [number for number in (ONE, TWO) if (number >> 22) % 2 == shard and number != ONE]
    told = case.guilds.see("READY", shard, 2, discord.ready("s") | {"guilds": [guild]}, 0.0)
    assert [detail["guild_id"] for _, detail in told] == [str(number) for number in others] * bool(others)
    assert ONE in case.guilds.left()


def test_permissions_that_a_role_loses_are_told_once_they_have_settled() -> None:
    case = begun(1)
    role = {"guild_id": str(ONE), "role": {"id": str(OWN), "permissions": str(VIEW)}}
    assert case.codes("GUILD_ROLE_UPDATE", **role) == []
    assert case.guilds.settled(case.now) == []
    where = {"guild_id": str(ONE), "guild": "guild 1"}
    assert case.settle() == [("permissions_lost", where | {"lost": ("SEND_MESSAGES",)})]
    assert case.settle() == []


def test_permissions_that_come_back_in_time_were_never_lost() -> None:
    case = begun(1)
    for granted in (0, VIEW, VIEW | SEND):
        case.see("GUILD_ROLE_UPDATE", guild_id=str(ONE), role={"id": str(OWN), "permissions": str(granted)})
    assert case.settle() == []


def test_roles_that_are_taken_or_deleted_take_their_permissions_along() -> None:
    case = begun(1, everyone=VIEW)
    me = discord.USER["id"]
    case.roles[88] = EMBED
    changed = {"guild_id": str(ONE), "user": {"id": me}}
    case.see("GUILD_MEMBER_UPDATE", **changed, roles=[str(OWN), "88", "99"])
    assert case.lost() == []
    case.see("GUILD_MEMBER_UPDATE", **changed | {"user": {"id": "5"}}, roles=[])
    assert case.lost() == []
    case.see("GUILD_MEMBER_UPDATE", **changed, roles=["88"])
    assert case.lost() == ["SEND_MESSAGES"]
    case.see("GUILD_ROLE_DELETE", guild_id=str(ONE), role_id="88")
    assert case.lost() == ["EMBED_LINKS"]
    case.see("GUILD_ROLE_UPDATE", guild_id=str(ONE), role={"id": str(ONE), "permissions": "0"})
    assert case.lost() == ["VIEW_CHANNEL"]


def test_overwrites_of_a_channel_count_for_the_bot_alone() -> None:
    case = begun(1)
    channel = {"guild_id": str(ONE), "id": "5", "name": "news"}
    case.overwrites[5] = {}
    others = [{"id": "6", "type": 0, "allow": "0", "deny": str(SEND)}]
    case.see("CHANNEL_UPDATE", **channel, permission_overwrites=others)
    assert case.settle() == []
    mine = [{"id": str(OWN), "type": 0, "allow": "0", "deny": str(SEND)}]
    case.see("CHANNEL_UPDATE", **channel, permission_overwrites=[*others, *mine])
    where = {"guild_id": str(ONE), "guild": "guild 1", "channel_id": "5", "channel": "news"}
    assert case.settle() == [("permissions_lost", where | {"lost": ("SEND_MESSAGES",)})]
    del case.overwrites[5]
    case.see("CHANNEL_UPDATE", **channel, permission_overwrites=[])
    assert case.settle() == [], "of a channel that is not in the cache nothing is known"


def test_what_was_lost_while_nobody_was_there_is_told() -> None:
    case = Case(begun(1).guilds.left())
    case.ready(1)
    case.see("GUILD_CREATE", **a_guild(1, own=VIEW))
    assert case.lost() == ["SEND_MESSAGES"]


def test_a_guild_that_is_left_loses_nothing_more() -> None:
    case = begun(1)
    case.see("GUILD_ROLE_UPDATE", guild_id=str(ONE), role={"id": str(OWN), "permissions": "0"})
    case.see("GUILD_DELETE", id=str(ONE))
    assert case.settle() == []


def test_many_changes_at_once_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_bot.guilds.MAX_WAITING", 1)
    case = begun(1, 2)
    for number in (ONE, TWO):
        case.see("GUILD_ROLE_UPDATE", guild_id=str(number), role={"id": str(OWN), "permissions": "0"})
    assert len(case.guilds.settled(case.now)) == 2
    assert MAX_WAITING == 1_000


def test_names_are_followed_and_what_is_unknown_is_passed_over() -> None:
    case = begun(1)
    case.see("GUILD_UPDATE", id=str(ONE), name="New name")
    assert case.guilds.left()[ONE].name == "New name"
    for name, payload in (
        ("GUILD_UPDATE", {"id": "4", "name": "x"}),
        ("GUILD_ROLE_UPDATE", {"guild_id": "4", "role": {"id": "4", "permissions": "1"}}),
        ("GUILD_ROLE_DELETE", {"guild_id": "4", "role_id": "4"}),
        ("GUILD_MEMBER_UPDATE", {"guild_id": "4", "user": {"id": "4"}, "roles": []}),
        ("CHANNEL_UPDATE", {"guild_id": "4", "id": "4", "name": "x", "permission_overwrites": []}),
        ("MESSAGE_CREATE", {}),
    ):
        assert case.see(name, **payload) == []
    assert case.settle() == []


def test_permissions_are_worked_out_as_documented() -> None:
    assert in_guild(VIEW, [SEND, EMBED]) == VIEW | SEND | EMBED
    assert in_guild(ADMINISTRATOR, []) == ALL
    rows: dict[int, Overwrite] = {1: (VIEW | SEND, 0), 8: (0, SEND), 9: (SEND | EMBED, 0), 5: (0, EMBED)}
    assert in_channel(VIEW | EMBED, 1, [8, 9], 5, rows) == SEND | EMBED
    assert in_channel(ALL, 1, [9], 5, rows) == ALL
    assert names_of(VIEW | 1 << 60) == ("VIEW_CHANNEL", hex(1 << 60))
