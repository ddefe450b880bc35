"""What a bot has in stock, and orders to register commands, over HTTP."""

from typing import Any

import pytest

from flotilla.db.keys import Role
from tests.integration.api.conftest import Api

TEA = {"name": "Tea", "quantity": 3, "category": "hot", "description": "Green.", "price": "2 €", "low_at": 5}


async def test_an_item_is_put_shown_listed_and_removed(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/stock"
    made = await api.call("PUT", f"{path}/TEA-1", TEA, role=Role.OPERATOR)
    assert made.status_code == 201
    shown = await api.get(f"{path}/TEA-1")
    assert shown | TEA | {"sku": "TEA-1"} == shown
    again = await api.call("PUT", f"{path}/TEA-1", {"name": "Tea", "quantity": 9})
    assert again.status_code == 200
    await api.call("PUT", f"{path}/CAKE", {"name": "Cake", "quantity": 0})
    page = await api.get(f"{path}?limit=1")
    assert [item["sku"] for item in page["items"]] == ["CAKE"]
    rest = await api.get(f"{path}?cursor={page['next_cursor']}")
    assert ([item["sku"] for item in rest["items"]], rest["next_cursor"]) == (["TEA-1"], None)
    assert [item["sku"] for item in (await api.get(f"{path}?low=true"))["items"]] == ["CAKE"]
    gone = await api.call("DELETE", f"{path}/CAKE", role=Role.OPERATOR)
    assert gone.status_code == 204
    for method in ("GET", "DELETE"):
        await api.problem(await api.call(method, f"{path}/CAKE"), 404, "stock_item_unknown")


@pytest.mark.parametrize(
    ("sku", "body", "code"),
    [
        ("TEA", {**TEA, "quantity": -1}, "input_invalid"),
        ("TEA", {**TEA, "quantity": 10**13}, "input_invalid"),
        ("TEA", {**TEA, "name": ""}, "input_invalid"),
        ("TEA", {**TEA, "name": "x" * 101}, "input_invalid"),
        ("TEA", {**TEA, "colour": "green"}, "input_invalid"),
        ("TEA", {"name": "Tea"}, "input_invalid"),
        ("x" * 41, TEA, "sku_invalid"),
        ("%F0%9F%8D%B5", TEA, "sku_invalid"),
        ("-tea", TEA, "sku_invalid"),
    ],
)
async def test_an_item_that_cannot_be_is_refused(api: Api, sku: str, body: dict[str, Any], code: str) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/stock"
    await api.problem(await api.call("PUT", f"{path}/{sku}", body), 422, code)
    assert (await api.get(path))["items"] == []


async def test_stock_needs_a_bot_and_the_right_role(api: Api) -> None:
    bot = await api.add_bot(1)
    path = f"/api/v1/bots/{bot['id']}/stock/TEA"
    for method in ("PUT", "DELETE"):
        await api.problem(await api.call(method, path, TEA, role=Role.VIEWER), 403, "role_too_low")
    for method, where in (("GET", ""), ("GET", "/TEA"), ("PUT", "/TEA"), ("DELETE", "/TEA")):
        response = await api.call(method, f"/api/v1/bots/nobody/stock{where}", TEA if method == "PUT" else None)
        await api.problem(response, 404, "bot_unknown")


async def test_an_order_to_register_commands_is_counted_and_nudges(api: Api) -> None:
    bot = await api.add_bot(1)
    path, nudges = f"/api/v1/bots/{bot['id']}/sync-commands", api.nudges.sent
    for number in (1, 2):
        response = await api.call("POST", path, role=Role.OPERATOR)
        assert response.status_code == 202
        assert (await api.services.bots.get(bot["id"])).bot.commands_epoch == number
    assert api.nudges.sent == nudges + 2
    await api.problem(await api.call("POST", path, role=Role.VIEWER), 403, "role_too_low")
    await api.problem(await api.call("POST", "/api/v1/bots/nobody/sync-commands"), 404, "bot_unknown")
