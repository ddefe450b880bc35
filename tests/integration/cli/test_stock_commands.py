"""`flotilla stock …` and `flotilla bots sync`."""

import json
from typing import Any


def test_an_item_is_added_changed_listed_and_removed(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    assert "nothing in stock" in cli("stock", "list", "shop").out
    added = cli("stock", "set", "shop", "TEA-1", "--name", "Tee 🍵", "-q", "3", "--price", "2 €", "--low-at", "3")
    assert added.out == "TEA-1: 3 of Tee 🍵.\n"
    cli("stock", "set", "shop", "CAKE", "--name", "Cake", "--quantity", "9")
    changed = cli("stock", "set", "shop", "TEA-1", "--quantity", "0")
    assert changed.out == "TEA-1: 0 of Tee 🍵.\n"
    assert fleet.stock["TEA-1"] | {"price": "2 €", "low_at": 3, "quantity": 0} == fleet.stock["TEA-1"]
    listed = cli("stock", "list", "shop").out
    assert "CAKE" in listed
    assert "CAKE" not in cli("stock", "list", "shop", "--low").out
    assert [item["sku"] for item in json.loads(cli("stock", "list", "shop", "--json").out)] == ["TEA-1", "CAKE"]
    assert cli("stock", "remove", "shop", "TEA-1").out == "Removed TEA-1.\n"
    assert "about to run out" in cli("stock", "list", "shop", "--low").out
    assert cli("stock", "remove", "shop", "TEA-1").code == 1


def test_a_new_item_needs_a_name_and_how_many(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    result = cli("stock", "set", "shop", "TEA", "--quantity", "3")
    assert (result.code, "--name" in result.err) == (2, True)
    assert fleet.stock == {}


def test_a_sku_stays_one_part_of_the_path(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    cli("stock", "set", "shop", "../policy", "--name", "x", "--quantity", "1")
    assert not any(path.endswith("/policy") for _, path, _ in fleet.received)


def test_sync_says_where_to_see_how_it_went(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    fleet.add("closed", state="STOPPED")
    assert "flotilla happenings shop" in cli("bots", "sync", "shop").out
    assert "when it starts" in cli("bots", "sync", "closed").out
    assert ("POST", "/api/v1/bots/id-shop/sync-commands", {}) in fleet.received
