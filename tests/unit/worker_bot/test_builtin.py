"""What the built-in extensions share, without Discord."""

import asyncio

import hikari
import pytest

from flotilla.domain.stock import CHOICES, StockSearched
from flotilla.protocol import Answered
from tests.contract.test_stock import an_item
from worker_bot import asking, builtin
from worker_bot.asking import Asking, AskingError
from worker_bot.builtin import BURST, MAX_USERS, REFILL_S, Pace
from worker_bot.extensions import admin, stock


def test_a_user_may_do_a_few_things_at_once_and_then_one_at_a_time() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    assert [pace.wait_s(1) for _ in range(BURST + 1)] == [0] * BURST + [REFILL_S]
    assert pace.wait_s(2) == 0
    now += REFILL_S
    assert [pace.wait_s(1), pace.wait_s(1)] == [0, REFILL_S]
    now += 1000
    assert [pace.wait_s(1) for _ in range(BURST + 1)] == [0] * BURST + [REFILL_S]


def test_so_many_users_are_remembered_and_no_more() -> None:
    pace = Pace(lambda: 0.0)
    for user in range(3 * MAX_USERS):
        pace.wait_s(user)
    assert len(pace._users) == MAX_USERS


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("", 1), ("-1", 1), ("1" * 100, 1), ("٣", 1), ("x", 1)])
def test_a_page_out_of_a_custom_id_is_a_number_whatever_is_in_there(text: str, number: int) -> None:
    assert builtin.number_of(text) == number


def test_a_custom_id_has_room_for_the_longest_category() -> None:
    assert len(builtin.custom_id("stock", 2**64 - 1, 999_999, 1, stock.OF_CATEGORY + "x" * 50)) <= 100


async def test_an_answer_that_cannot_be_read_is_an_error_as_any() -> None:
    asking.install(Asking(lambda question: asyncio.get_running_loop().call_soon(_answer, question.number) is not None))
    try:
        with pytest.raises(AskingError) as fault:
            await builtin.asked("status", None, dict[str, int])
        assert fault.value.code == "not_understood"
    finally:
        asking.install(None)


async def test_half_a_surrogate_pair_is_not_asked() -> None:
    with pytest.raises(AskingError) as fault:
        await builtin.asked("stock.search", StockSearched("\ud800"), list[str])
    assert fault.value.code == "not_understood"


def _answer(number: int) -> None:
    asking._current[0].answered(Answered(number, b"[1"))


def test_items_seen_last_are_offered_first_and_the_oldest_forgotten() -> None:
    seen = stock.Seen()
    items = [an_item(number) for number in range(stock.MAX_SEEN + 5)]
    seen.note(items)
    seen.note([items[10]])
    assert seen.find("")[0] == items[10]
    assert len(seen.find("ITEM")) == CHOICES
    assert seen.find("item 001") == []


@pytest.mark.parametrize(
    ("key", "value", "patch"),
    [
        ("locale", " id ", {"locale": "id"}),
        ("locale", None, {"locale": None}),
        ("off", "/ping, stock,,ping", {"off": ["ping", "stock"]}),
        ("settings.shop.currency", "IDR", {"settings": {"shop": {"currency": "IDR"}}}),
        ("settings.my.shop.limit", "5", {"settings": {"my.shop": {"limit": 5}}}),
        ("settings.shop.limit", None, {"settings": {"shop": {"limit": None}}}),
        ("settings.shop.odd", "\ud800", {"settings": {"shop": {"odd": "\ud800"}}}),
        ("settings.shop", "{}", None),
        ("settings", "{}", None),
        ("locale.x", "id", None),
        ("", "id", None),
        ("owners", "1", None),
    ],
)
def test_a_key_and_a_value_are_a_merge_patch(key: str, value: str | None, patch: dict[str, object] | None) -> None:
    assert admin.changes(key, value) == patch


OWNER, MATE, GUEST = 10**17 + 1, 10**17 + 2, 10**17 + 3


def a_user(user_id: int) -> dict[str, object]:
    return {"id": str(user_id), "username": "x", "discriminator": "0", "global_name": None, "avatar": None}


def an_application(**team: object) -> hikari.Application:
    members = [
        {"user": a_user(user_id), "membership_state": state, "permissions": ["*"], "team_id": "5", "role": "developer"}
        for user_id, state in ((MATE, 2), (GUEST, 1))
    ]
    team = {"id": "5", "name": "Crew", "icon": None, "owner_user_id": str(MATE), "members": members} | team
    facts = {"id": "7", "name": "shop", "description": "", "icon": None, "bot_public": True, "verify_key": ""}
    counts = dict.fromkeys(("approximate_guild_count", "approximate_user_install_count"), 1)
    more = {"bot_require_code_grant": False, "owner": a_user(OWNER), "team": team, "flags": 0}
    bot = hikari.RESTApp()
    return hikari.impl.EntityFactoryImpl(bot).deserialize_application(  # type: ignore[arg-type] # it only keeps the app
        {**facts, **counts, **more, "approximate_user_authorization_count": 1}
    )


@pytest.mark.parametrize(("user_id", "owns"), [(OWNER, False), (MATE, True), (GUEST, False)])
async def test_of_a_team_those_own_the_bot_who_have_joined(
    monkeypatch: pytest.MonkeyPatch, user_id: int, *, owns: bool
) -> None:
    applications = builtin.Applications()
    applications._found = an_application()
    monkeypatch.setattr(builtin, "applications", applications)
    assert await builtin.is_owner(None, user_id) is owns  # type: ignore[arg-type] # Discord is not asked
