import pytest

from sandbox.rest.addresses import Addresses

NOW = 1_800_000_000.0
HERE = "127.0.0.2"


@pytest.fixture
def addresses() -> Addresses:
    return Addresses()


def test_ten_thousandth_invalid_request_in_ten_minutes_bans_the_address(addresses: Addresses) -> None:
    for number in range(9_999):
        addresses.invalid(HERE, "1", 401, NOW + number * 0.05)
    assert not addresses.banned_for_s(HERE, NOW + 500)
    addresses.invalid(HERE, "2", 403, NOW + 500)
    assert addresses.banned_for_s(HERE, NOW + 500) == 3_600
    assert not addresses.banned_for_s("127.0.0.3", NOW + 500)
    assert not addresses.banned_for_s(HERE, NOW + 4_100)


def test_invalid_requests_leave_the_count_when_the_window_has_slid_past_them(addresses: Addresses) -> None:
    addresses.invalid(HERE, "1", 401, NOW)
    addresses.invalid(HERE, "1", 429, NOW + 300)
    assert addresses.get(HERE, NOW + 599).total == 2
    assert addresses.get(HERE, NOW + 611).total == 1
    assert addresses.get(HERE, NOW + 611).by_application() == {"1": {"429": 1}}
    assert addresses.get(HERE, NOW + 911).total == 0


def test_window_is_kept_in_few_slots_however_many_requests_come(addresses: Addresses) -> None:
    addresses.rules.limit = 1_000_000
    for tenth in range(20_000):
        addresses.invalid(HERE, "1", 401, NOW + tenth / 10)
    kept = addresses.get(HERE, NOW + 2_000)
    assert len(kept.slots) <= 62
    assert kept.total == pytest.approx(6_000, rel=0.02)


def test_counts_tell_which_application_spent_the_budget(addresses: Addresses) -> None:
    for source, status in (("1", 401), ("1", 401), ("2", 403), ("1", 429)):
        addresses.invalid(HERE, source, status, NOW)
    assert addresses.get(HERE, NOW).by_application() == {"1": {"401": 2, "429": 1}, "2": {"403": 1}}


def test_end_of_a_ban_starts_the_count_anew(addresses: Addresses) -> None:
    addresses.rules.limit, addresses.rules.ban_s = 2, 10.0
    addresses.invalid(HERE, "1", 401, NOW)
    addresses.invalid(HERE, "1", 401, NOW)
    assert addresses.banned_for_s(HERE, NOW + 1) == 9
    addresses.invalid(HERE, "1", 401, NOW + 11)
    assert not addresses.banned_for_s(HERE, NOW + 11)


def test_ban_can_be_set_and_lifted(addresses: Addresses) -> None:
    addresses.ban(HERE, 5.0, NOW)
    assert addresses.banned_for_s(HERE, NOW) == 5
    addresses.lift(HERE)
    assert not addresses.banned_for_s(HERE, NOW)


def test_count_can_be_set_up_to_the_ban(addresses: Addresses) -> None:
    addresses.set_invalid(HERE, 9_999, NOW)
    assert addresses.get(HERE, NOW).total == 9_999
    addresses.invalid(HERE, "1", 401, NOW)
    assert addresses.banned_for_s(HERE, NOW)


def test_budget_that_is_not_enforced_neither_counts_nor_bans(addresses: Addresses) -> None:
    addresses.ban(HERE, 5.0, NOW)
    addresses.rules.enforced = False
    addresses.invalid(HERE, "1", 401, NOW)
    assert not addresses.banned_for_s(HERE, NOW)
    assert not addresses.get(HERE, NOW).total


def test_pruning_forgets_addresses_that_did_nothing_of_late(addresses: Addresses) -> None:
    addresses.invalid(HERE, "1", 401, NOW)
    addresses.ban("127.0.0.3", 5_000.0, NOW)
    addresses.prune(NOW + 700)
    assert list(addresses) == ["127.0.0.3"]
