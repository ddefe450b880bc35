from typing import Any

import pytest

from sandbox.errors import DiscordError, FieldFaults
from sandbox.messages import component_rules, components, rules

BUTTON: dict[str, Any] = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
MENU: dict[str, Any] = {"type": 3, "custom_id": "menu", "options": [{"label": "A", "value": "a"}]}
TEXT = {"type": 10, "content": "hello"}
PICTURE = {"type": 11, "media": {"url": "https://example.com/a.png"}}


def row(*nested: Any) -> dict[str, Any]:
    return {"type": 1, "components": list(nested)}


def buttons(count: int) -> list[dict[str, Any]]:
    return [{**BUTTON, "custom_id": str(number)} for number in range(count)]


def codes(errors: Any) -> set[str]:
    """Return the codes of all field errors in a 50035."""
    if not isinstance(errors, dict):
        return set()
    found = {error["code"] for error in errors.get("_errors", [])}
    return found.union(*(codes(nested) for key, nested in errors.items() if key != "_errors"))


def refused(given: Any, *, v2: bool = False) -> set[str]:
    with pytest.raises(DiscordError) as caught:
        rules.check({"components": given, "flags": (1 << 15) if v2 else 0})
    assert caught.value.fault.code == 50035
    return codes(caught.value.errors)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["x"], "MODEL_TYPE_CONVERT"),
        ([{}], "BASE_TYPE_CHOICES"),
        ([{"type": []}], "BASE_TYPE_CHOICES"),
        ([{"type": 99}], "BASE_TYPE_CHOICES"),
        ([BUTTON], "COMPONENT_TYPE_INVALID"),
        ([TEXT], "COMPONENT_TYPE_INVALID"),
        ([row()], "BASE_TYPE_BAD_LENGTH"),
        ([row(*buttons(6))], "BASE_TYPE_BAD_LENGTH"),
        ([row(*buttons(1))] * 6, "BASE_TYPE_MAX_LENGTH"),
        ([row(BUTTON, {**BUTTON, "disabled": True})], "COMPONENT_CUSTOM_ID_DUPLICATED"),
        ([row(MENU, BUTTON)], "COMPONENT_LAYOUT_WIDTH_EXCEEDED"),
        ([row({**BUTTON, "style": 9})], "BASE_TYPE_CHOICES"),
        ([row({**BUTTON, "custom_id": None})], "BASE_TYPE_REQUIRED"),
        ([row({**BUTTON, "custom_id": "x" * 101})], "BASE_TYPE_BAD_LENGTH"),
        ([row({**BUTTON, "label": None})], "BASE_TYPE_REQUIRED"),
        ([row({**BUTTON, "label": "x" * 81})], "BASE_TYPE_MAX_LENGTH"),
        ([row({**BUTTON, "style": 5})], "BASE_TYPE_REQUIRED"),
        (
            [row({**BUTTON, "style": 5, "url": "https://example.com"})],
            "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE",
        ),
        ([row({**MENU, "options": []})], "BASE_TYPE_BAD_LENGTH"),
        ([row({**MENU, "options": MENU["options"] * 2})], "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"),
        ([row({**MENU, "options": [{"label": "A"}]})], "BASE_TYPE_REQUIRED"),
        ([row({**MENU, "max_values": 26})], "NUMBER_TYPE_RANGE"),
        ([row({**MENU, "placeholder": "x" * 151})], "BASE_TYPE_MAX_LENGTH"),
    ],
)
def test_discord_refuses_components_that_break_a_rule(given: Any, code: str) -> None:
    assert code in refused(given)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([{"type": 10}], "BASE_TYPE_REQUIRED"),
        ([{"type": 9, "components": [TEXT]}], "BASE_TYPE_REQUIRED"),
        ([{"type": 9, "components": [TEXT], "accessory": MENU}], "COMPONENT_TYPE_INVALID"),
        ([{"type": 12, "items": []}], "BASE_TYPE_BAD_LENGTH"),
        ([{"type": 12, "items": [{}]}], "BASE_TYPE_REQUIRED"),
        ([{"type": 17, "components": [{"type": 17, "components": []}]}], "COMPONENT_TYPE_INVALID"),
        ([TEXT] * 41, "BASE_TYPE_MAX_LENGTH"),
        ([{**TEXT, "content": "x" * 2001}] * 2, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED"),
        ([row(*buttons(5))] * 7, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED"),
    ],
)
def test_discord_refuses_layouts_that_break_a_rule(given: Any, code: str) -> None:
    assert code in refused(given, v2=True)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], "BASE_TYPE_BAD_LENGTH"),
        ([row(BUTTON)], "COMPONENT_TYPE_INVALID"),
        ([row({"type": 4, "style": 3, "custom_id": "x"})], "BASE_TYPE_CHOICES"),
        ([row({"type": 4, "style": 1})], "BASE_TYPE_REQUIRED"),
        ([{"type": 18, "component": MENU}], "BASE_TYPE_REQUIRED"),
        ([{"type": 18, "label": "l"}], "BASE_TYPE_REQUIRED"),
        ([{"type": 18, "label": "l", "component": BUTTON}], "COMPONENT_TYPE_INVALID"),
        ([{"type": 18, "label": "l", "component": {"type": 21}}], "BASE_TYPE_REQUIRED"),
    ],
)
def test_discord_refuses_modals_that_break_a_rule(given: Any, code: str) -> None:
    faults = FieldFaults()
    component_rules.check_modal(given, faults, ("components",))
    with pytest.raises(DiscordError) as caught:
        faults.raise_if_any()
    assert code in codes(caught.value.errors)


def test_components_are_numbered_around_the_ids_that_are_given() -> None:
    shown = components.rendered([row({**BUTTON, "id": 2, "emoji": {"name": None, "id": "5"}}), row(MENU)], "9")
    first, second = shown
    assert (first["id"], first["components"][0]["id"]) == (1, 2)
    assert (second["id"], second["components"][0]["id"]) == (3, 4)
    assert first["components"][0]["emoji"] == {"id": "5", "name": "_"}
    assert second["components"][0]["min_values"] == 1


def test_layout_gets_discords_defaults() -> None:
    gallery = {"type": 12, "items": [{"media": {"url": "https://example.com/a.png"}}]}
    file = {"type": 13, "file": {"url": "attachment://a.txt"}}
    section = {"type": 9, "components": [TEXT], "accessory": PICTURE}
    given = [{"type": 17, "components": [gallery, file, section, {"type": 14}]}]
    rules.check({"components": given, "flags": 1 << 15})
    (container,) = components.rendered(given, "9")
    assert (container["spoiler"], container["accent_color"]) == (False, None)
    shown_gallery, shown_file, shown_section, separator = container["components"]
    assert shown_gallery["items"][0]["media"]["id"] == "9"
    assert (shown_file["name"], shown_file["file"]["proxy_url"]) == (None, "attachment://a.txt")
    assert shown_section["accessory"]["description"] is None
    assert (separator["spacing"], separator["divider"]) == (1, True)
