from typing import Any

import pytest

from sandbox.gateway.connection import Close, CompressPayloads, Drop
from sandbox.gateway.session import PRIVILEGED_INTENTS
from sandbox.local_discord import LocalDiscord
from sandbox.world.applications import Application
from tests.unit.sandbox.conftest import FakeClock, FakeSocket


def test_hello_carries_the_heartbeat_interval(socket: FakeSocket) -> None:
    assert socket.payloads[0]["op"] == 10
    assert socket.payloads[0]["d"]["heartbeat_interval"] == 41_250


def test_identify_gets_ready_and_the_guild(socket: FakeSocket, application: Application, token: str) -> None:
    socket.identify(token)
    assert socket.events == ["READY", "GUILD_CREATE"]
    ready, guild = (payload["d"] for payload in socket.payloads[1:])
    assert ready["user"]["id"] == ready["application"]["id"] == application.id
    assert ready["resume_gateway_url"] == "ws://sandbox/gateway"
    assert ready["guilds"] == [{"id": guild["id"], "unavailable": True}]
    assert [payload["s"] for payload in socket.payloads[1:]] == [1, 2]


def tell(discord: LocalDiscord, application: Application, event: dict[str, Any]) -> int:
    return discord.router.to_application(application.id, "INTERACTION_CREATE", event, application.home_guild_id)


def test_without_the_guilds_intent_no_guild_comes(socket: FakeSocket, token: str) -> None:
    socket.identify(token, intents=0)
    assert socket.events == ["READY"]


def test_shard_without_the_guild_gets_no_event_of_it(
    discord: LocalDiscord, application: Application, token: str
) -> None:
    mine = (int(application.home_guild_id) >> 22) % 2
    socket = FakeSocket(discord)
    socket.identify(token, shard=[1 - mine, 2])
    assert socket.events == ["READY"]
    assert tell(discord, application, {}) == 0


def test_every_session_of_a_shard_gets_every_event(
    discord: LocalDiscord, application: Application, token: str, clock: FakeClock
) -> None:
    sockets = [FakeSocket(discord), FakeSocket(discord)]
    for socket in sockets:
        socket.identify(token)
        clock.now += 5
    assert tell(discord, application, {}) == 2
    assert all(socket.events[-1] == "INTERACTION_CREATE" for socket in sockets)


def test_heartbeat_is_acknowledged_before_and_after_identify(socket: FakeSocket, token: str) -> None:
    socket.send(1)
    socket.identify(token)
    socket.send(1, 2)
    assert [payload["op"] for payload in socket.payloads].count(11) == 2


def test_client_that_stops_beating_is_closed_with_4009(socket: FakeSocket, clock: FakeClock, token: str) -> None:
    socket.identify(token)
    clock.now += 60
    socket.connection.tick(clock.now)
    assert socket.close_code is None
    socket.send(1)
    clock.now += 62
    socket.connection.tick(clock.now)
    assert socket.close_code == 4009


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"{", 4002),
        (b"[]", 4002),
        (b'"\xff"', 4002),
        (b'{"op": "2"}', 4002),
        (b'{"op": 1, "d": "' + b"x" * 4096 + b'"}', 4002),
        (b'{"op": 99}', 4001),
        (b'{"op": 3, "d": {}}', 4003),
        (b'{"op": 2, "d": {}}', 4002),
        (b'{"op": 2, "d": {"token": "a.b.c"}}', 4002),
        (b'{"op": 2, "d": {"token": 1, "properties": {}}}', 4002),
        (b'{"op": 2, "d": {"token": "a.b.c", "properties": []}}', 4002),
        (b'{"op": 2, "d": {"token": "a.b.c", "properties": {}, "compress": "yes"}}', 4002),
        (b'{"op": 2, "d": {"token": "a.b.c", "properties": {}, "large_threshold": "50"}}', 4002),
        (b'{"op": 2, "d": {"token": "a.b.c", "properties": {}, "presence": "idle"}}', 4002),
        (b'{"op": 2, "d": {"token": "a.b.c", "properties": {}}}', 4004),
        (b'{"op": 6, "d": {"token": "a.b.c"}}', 4002),
        (b'{"op": 6, "d": {"token": "a.b.c", "session_id": "x", "seq": 1}}', 4004),
    ],
)
def test_bad_frame_closes_with_discords_code(socket: FakeSocket, clock: FakeClock, frame: bytes, code: int) -> None:
    socket.connection.receive(frame, clock.now)
    assert socket.close_code == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"shard": [1, 1]}, 4010),
        ({"shard": "0"}, 4010),
        ({"shard": [0, 0]}, 4010),
        ({"shard": [False, 1]}, 4010),
        ({"shard": [0, 1, 2]}, 4010),
        ({"intents": 1 << 30}, 4013),
        ({"intents": -1}, 4013),
        ({"intents": "1"}, 4013),
        ({"intents": PRIVILEGED_INTENTS}, 4014),
    ],
)
def test_bad_identify_closes_for_good(
    socket: FakeSocket, application: Application, token: str, fields: dict[str, Any], code: int
) -> None:
    application.privileged_refused = True
    socket.identify(token, **{"intents": 1, **fields})
    assert socket.close_code == code


def test_second_identify_closes_with_4005(socket: FakeSocket, token: str) -> None:
    socket.identify(token)
    socket.identify(token)
    assert socket.close_code == 4005


def test_closed_connection_hears_nothing_more(socket: FakeSocket, token: str) -> None:
    socket.send(99)
    socket.identify(token)
    assert socket.events == []


def test_hundred_and_twenty_first_payload_in_a_minute_closes_with_4008(socket: FakeSocket, clock: FakeClock) -> None:
    for _ in range(120):
        socket.send(1)
    clock.now += 60
    socket.send(1)
    assert socket.close_code is None
    for _ in range(120):
        socket.send(1)
    assert socket.close_code == 4008


@pytest.mark.parametrize(
    ("query", "code"), [({"version": "9"}, 4012), ({"encoding": "etf"}, 4002), ({"compress": "br"}, 4002)]
)
def test_query_the_sandbox_does_not_speak_closes_at_once(
    discord: LocalDiscord, query: dict[str, Any], code: int
) -> None:
    assert FakeSocket(discord, **query).close_code == code


def test_presence_and_voice_are_taken_without_an_answer(socket: FakeSocket, token: str) -> None:
    socket.identify(token)
    before = len(socket.effects)
    socket.send(3, {"since": None, "activities": [{"name": "chess", "type": 0}], "status": "idle", "afk": False})
    socket.send(4, {"guild_id": "1", "channel_id": None, "self_mute": False, "self_deaf": False})
    assert len(socket.effects) == before


def test_members_are_chunked_for_the_own_guild_only(socket: FakeSocket, application: Application, token: str) -> None:
    socket.identify(token)
    guild_id = application.home_guild_id
    socket.send(8, {"guild_id": "1"})
    socket.send(8, None)
    socket.send(8, {"guild_id": guild_id, "nonce": "n", "user_ids": [application.owner.id]})
    socket.send(8, {"guild_id": guild_id, "query": "", "limit": 0})
    chunks = [payload["d"] for payload in socket.payloads if payload["t"] == "GUILD_MEMBERS_CHUNK"]
    assert [len(chunk["members"]) for chunk in chunks] == [1, 1], "all of them only with the intent"
    assert chunks[0]["nonce"] == "n"


@pytest.mark.parametrize("code", [1000, 1001])
def test_client_close_with_1000_or_1001_ends_the_session(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str, code: int
) -> None:
    socket.identify(token)
    socket.hang_up(code)
    assert discord.sessions.of(application.id) == []
    assert tell(discord, application, {}) == 0


@pytest.mark.parametrize("code", [None, 3000, 4000])
def test_resume_replays_what_was_missed_in_order(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str, code: int | None
) -> None:
    socket.identify(token)
    socket.hang_up(code)
    for number in range(3):
        assert tell(discord, application, {"n": number}) == 1
    successor = FakeSocket(discord)
    successor.resume(token, socket.session_id, 2)
    assert successor.events == ["INTERACTION_CREATE"] * 3 + ["RESUMED"]
    assert [payload["s"] for payload in successor.payloads[1:]] == [3, 4, 5, 6]
    assert (application.identifies, application.resumes) == (1, 1)


def test_resume_takes_the_session_from_the_connection_that_had_it(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str
) -> None:
    socket.identify(token)
    successor = FakeSocket(discord)
    successor.resume(token, socket.session_id, 2)
    socket.hang_up(None)
    assert socket.close_code == 4000
    assert discord.sessions.clients_of(application.id) == [successor.connection]


def test_session_is_gone_after_the_resume_window(
    discord: LocalDiscord, socket: FakeSocket, token: str, clock: FakeClock
) -> None:
    socket.identify(token)
    socket.hang_up(None)
    clock.now += 180
    discord.prune()
    successor = FakeSocket(discord)
    successor.resume(token, socket.session_id, 2)
    assert successor.payloads[-1] == {"op": 9, "s": None, "t": None, "d": False}


def test_session_of_another_application_cannot_be_resumed(
    discord: LocalDiscord, socket: FakeSocket, token: str
) -> None:
    socket.identify(token)
    other = discord.world.token_of(discord.world.register("beta"))
    thief = FakeSocket(discord)
    thief.resume(other, socket.session_id, 2)
    assert thief.payloads[-1]["op"] == 9


def test_resume_ahead_of_the_session_closes_with_4007(discord: LocalDiscord, socket: FakeSocket, token: str) -> None:
    socket.identify(token)
    socket.hang_up(None)
    successor = FakeSocket(discord)
    successor.resume(token, socket.session_id, 99)
    assert successor.close_code == 4007


def test_resume_without_a_sequence_is_undecodable(socket: FakeSocket, token: str) -> None:
    socket.send(6, {"token": token, "session_id": "x", "seq": None})
    assert socket.close_code == 4002


def test_resume_further_back_than_the_buffer_needs_a_new_session(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str
) -> None:
    socket.identify(token)
    socket.hang_up(None)
    for _ in range(1001):
        tell(discord, application, {})
    successor = FakeSocket(discord)
    successor.resume(token, socket.session_id, 2)
    assert successor.payloads[-1]["op"] == 9


def test_identify_too_soon_gets_op_9_and_may_be_repeated(discord: LocalDiscord, token: str, clock: FakeClock) -> None:
    FakeSocket(discord).identify(token)
    second = FakeSocket(discord)
    second.identify(token)
    assert second.payloads[-1]["op"] == 9
    clock.now += 5
    second.identify(token)
    assert "READY" in second.events


def test_overrun_of_session_starts_ends_every_session_and_resets_the_token(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str, clock: FakeClock
) -> None:
    application.starts.set_remaining(1, clock.now)
    socket.identify(token)
    clock.now += 5
    second = FakeSocket(discord)
    second.identify(token)
    assert (socket.close_code, second.close_code) == (4004, 4004)
    assert discord.world.authenticate(token) is None
    assert discord.sessions.of(application.id) == []


def test_token_reset_ends_resumable_sessions_too(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str
) -> None:
    socket.identify(token)
    socket.hang_up(None)
    new = discord.revoke(application)
    successor = FakeSocket(discord)
    successor.resume(new, socket.session_id, 2)
    assert successor.payloads[-1]["op"] == 9


def test_control_can_ask_for_a_reconnect_and_cut_the_line(socket: FakeSocket, token: str) -> None:
    socket.identify(token)
    socket.connection.request_reconnect()
    socket.connection.drop()
    socket.connection.close(4000)
    socket.connection.close(4001)
    assert socket.payloads[-1]["op"] == 7
    assert socket.effects[-2:] == [Drop(), Close(4000, "Unknown error.")]
    assert socket.connection.application_id is not None


def test_connection_without_a_session_settles_quietly(socket: FakeSocket) -> None:
    socket.hang_up(None)
    assert socket.connection.application_id is None


@pytest.mark.parametrize(
    "fields",
    [
        {"since": 1},
        {"activities": [{"name": "chess"}]},
        {"activities": None},
        {"status": "away"},
        {"afk": "no"},
    ],
)
def test_malformed_presence_closes_with_4001(socket: FakeSocket, token: str, fields: dict[str, Any]) -> None:
    presence = {"since": None, "activities": [], "status": "online", "afk": False} | fields
    if fields == {"since": 1}:
        del presence["since"]
    socket.identify(token)
    socket.send(3, presence)
    assert socket.close_code == 4001


def test_game_serves_as_the_older_form_of_activities(socket: FakeSocket, token: str) -> None:
    socket.identify(token)
    socket.send(3, {"since": 5, "game": None, "status": "dnd", "afk": False})
    assert socket.close_code is None
    socket.send(3, {"since": 5, "status": "dnd", "afk": False})
    assert socket.close_code == 4001


def test_second_request_for_all_members_of_a_guild_within_30_s_is_rate_limited(
    socket: FakeSocket, application: Application, token: str, clock: FakeClock
) -> None:
    socket.identify(token)
    everyone = {"guild_id": application.home_guild_id, "query": "", "limit": 0, "nonce": "n"}
    socket.send(8, everyone)
    clock.now += 10
    socket.send(8, everyone)
    limited = socket.payloads[-1]
    assert limited["t"] == "RATE_LIMITED"
    meta = {"guild_id": application.home_guild_id, "nonce": "n"}
    assert limited["d"] == {"opcode": 8, "retry_after": 20.0, "meta": meta}
    socket.send(8, everyone | {"query": "a", "limit": 5})
    assert socket.events[-1] == "GUILD_MEMBERS_CHUNK"
    clock.now += 20
    socket.send(8, everyone)
    assert socket.events[-2:] == ["GUILD_MEMBERS_CHUNK", "GUILD_MEMBERS_CHUNK"]


def test_shard_with_too_many_guilds_closes_with_4011(
    discord: LocalDiscord, application: Application, token: str, clock: FakeClock
) -> None:
    application.starts.shard_guilds_max = 4
    socket = FakeSocket(discord, guild_count=lambda _, shard: 10 // shard[1])
    socket.identify(token)
    assert socket.close_code == 4011
    assert application.starts.remaining(clock.now) == 1000
    sharded = FakeSocket(discord, guild_count=lambda _, shard: 10 // shard[1])
    sharded.identify(token, shard=[1, 3])
    assert sharded.events[0] == "READY"


def test_shards_of_different_keys_identify_at_once(
    discord: LocalDiscord, application: Application, token: str, clock: FakeClock
) -> None:
    application.starts.max_concurrency = 2
    sockets = [FakeSocket(discord) for _ in range(3)]
    for shard_id, socket in enumerate(sockets):
        socket.identify(token, shard=[shard_id, 3])
    assert [socket.payloads[1]["op"] for socket in sockets] == [0, 0, 9]
    assert application.starts.as_json(clock.now)["max_concurrency"] == 2


def test_server_can_ask_for_a_heartbeat(socket: FakeSocket, token: str) -> None:
    socket.identify(token)
    socket.connection.request_heartbeat()
    assert socket.payloads[-1] == {"t": None, "s": None, "op": 1, "d": None}


def test_compression_of_payloads_is_asked_for_in_identify_and_outlives_a_resume(
    discord: LocalDiscord, socket: FakeSocket, token: str
) -> None:
    socket.identify(token, compress=True)
    assert CompressPayloads() in socket.effects
    socket.hang_up(None)
    successor = FakeSocket(discord)
    successor.resume(token, socket.session_id, 2)
    assert CompressPayloads() in successor.effects


def test_transport_compression_rules_out_compressed_payloads(discord: LocalDiscord, token: str) -> None:
    socket = FakeSocket(discord, compress="zlib-stream")
    socket.identify(token, compress=True)
    assert CompressPayloads() not in socket.effects


def test_session_invalidated_for_good_is_gone_and_its_client_may_identify_again(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str, clock: FakeClock
) -> None:
    socket.identify(token)
    socket.connection.invalidate(resumable=False)
    assert (socket.payloads[-1]["op"], socket.payloads[-1]["d"]) == (9, False)
    assert discord.sessions.of(application.id) == []
    clock.now += 5
    socket.identify(token)
    assert len(discord.sessions.of(application.id)) == 1


def test_session_that_may_be_resumed_survives_op_9(
    discord: LocalDiscord, socket: FakeSocket, application: Application, token: str
) -> None:
    socket.identify(token)
    socket.connection.invalidate(resumable=True)
    assert (socket.payloads[-1]["op"], socket.payloads[-1]["d"]) == (9, True)
    socket.resume(token, socket.session_id, 2)  # over the same connection, as discord.js does
    assert socket.events[-1] == "RESUMED"
    socket.connection.invalidate(resumable=True)
    socket.hang_up(4000)
    successor = FakeSocket(discord)
    successor.resume(token, socket.session_id, 2)
    assert successor.events == ["RESUMED", "RESUMED"]
