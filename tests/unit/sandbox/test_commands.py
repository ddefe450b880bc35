from typing import Any

import pytest

from sandbox.commands.book import CommandBook
from sandbox.errors import DiscordError
from sandbox.snowflakes import Sequence

NOW = 1_800_000_000.0
PING = {"name": "ping", "description": "Answers pong"}


class Book(CommandBook):
    """A command book with the arguments that do not matter here filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = Sequence()

    def add(self, scope: str | None = None, now: float = NOW, **body: Any) -> dict[str, Any]:
        return self.create("1", scope, {**PING, **body}, self.ids, now)[0]

    def put(self, *bodies: Any, scope: str | None = None) -> list[dict[str, Any]]:
        return self.overwrite("1", scope, list(bodies), self.ids, NOW)


@pytest.fixture
def book() -> Book:
    return Book()


def faults_of(error: DiscordError, *path: str) -> list[str]:
    node: Any = error.errors
    for key in path:
        node = node[key]
    return [fault["code"] for fault in node["_errors"]]


def test_overwrite_keeps_ids_and_versions_of_what_did_not_change(book: Book) -> None:
    before = book.put(PING, {"name": "help", "description": "Helps"})
    after = book.put({"name": "help", "description": "Helps better"}, PING)
    assert after[1] == before[0]
    assert after[0]["id"] == before[1]["id"]
    assert after[0]["version"] != before[1]["version"]
    assert book.put() == []


def test_create_of_a_name_that_exists_overwrites_it(book: Book) -> None:
    first = book.add()
    second, is_new = book.create("1", None, PING, book.ids, NOW)
    assert not is_new
    assert second == first


def test_edit_changes_only_what_is_given(book: Book) -> None:
    command = book.add(options=[{"type": 3, "name": "text", "description": "Text", "required": True, "choices": None}])
    edited = book.edit(None, command["id"], {"description": "New", "default_member_permissions": 8}, book.ids, NOW)
    assert edited["options"] == [{"type": 3, "name": "text", "description": "Text", "required": True}]
    assert (edited["description"], edited["default_member_permissions"]) == ("New", "8")


def test_deleted_command_is_unknown(book: Book) -> None:
    command = book.add()
    book.delete(None, command["id"])
    with pytest.raises(DiscordError) as caught:
        book.get(None, command["id"])
    assert caught.value.fault.code == 10063


def test_guild_command_hides_the_global_one_from_users(book: Book) -> None:
    book.add()
    mine = book.add(scope="77")
    book.add(type=2, name="Ping", description="")
    assert mine["guild_id"] == "77"
    assert book.named("ping", "77") == mine
    assert book.named("nothing", "77") is None
    assert book.names("77") == ["ping"]
    assert len(book) == 3


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"name": 5}, ["name"], "STRING_TYPE_CONVERT"),
        ({"name": ""}, ["name"], "BASE_TYPE_BAD_LENGTH"),
        ({"name": "x" * 33}, ["name"], "BASE_TYPE_BAD_LENGTH"),
        ({"name": "Not Lower"}, ["name"], "APPLICATION_COMMAND_INVALID_NAME"),
        ({"description": ""}, ["description"], "BASE_TYPE_REQUIRED"),
        ({"description": "x" * 101}, ["description"], "BASE_TYPE_BAD_LENGTH"),
        ({"type": 9}, ["type"], "BASE_TYPE_CHOICES"),
        ({"type": 2}, ["description"], "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION"),
        ({"options": "x"}, ["options"], "LIST_TYPE_CONVERT"),
        ({"options": [{}] * 26}, ["options"], "BASE_TYPE_MAX_LENGTH"),
        ({"options": ["x"]}, ["options", "0"], "MODEL_TYPE_CONVERT"),
        ({"options": [{"name": "a", "description": "b"}]}, ["options", "0", "type"], "BASE_TYPE_REQUIRED"),
        ({"options": [{"type": 12, "name": "a", "description": "b"}]}, ["options", "0", "type"], "BASE_TYPE_CHOICES"),
        ({"options": [{"type": 3, "description": "b"}]}, ["options", "0", "name"], "BASE_TYPE_REQUIRED"),
        (
            {"options": [{"type": 3, "name": "a", "description": "b", "choices": [{"name": "n"}]}]},
            ["options", "0", "choices", "0", "value"],
            "BASE_TYPE_REQUIRED",
        ),
        (
            {"options": [{"type": 3, "name": "a", "description": "b"}] * 2},
            ["options", "1", "name"],
            "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS",
        ),
        (
            {
                "options": [
                    {"type": 3, "name": "a", "description": "b"},
                    {"type": 3, "name": "c", "description": "b", "required": True},
                ]
            },
            ["options", "1"],
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
        (
            {
                "options": [
                    {"type": 1, "name": "a", "description": "b"},
                    {"type": 3, "name": "c", "description": "b"},
                ]
            },
            ["options"],
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
        ),
        (
            {
                "options": [
                    {
                        "type": 1,
                        "name": "a",
                        "description": "b",
                        "options": [{"type": 2, "name": "c", "description": "d"}],
                    }
                ]
            },
            ["options", "0", "options", "0", "type"],
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
        ),
    ],
)
def test_bad_command_gets_a_50035_at_its_field(book: Book, body: dict[str, Any], path: list[str], code: str) -> None:
    with pytest.raises(DiscordError) as caught:
        book.add(**body)
    assert caught.value.fault.code == 50035
    assert code in faults_of(caught.value, *path)
    assert caught.value.body()["message"] == "Invalid Form Body"


def test_bulk_overwrite_names_the_index_of_the_fault(book: Book) -> None:
    with pytest.raises(DiscordError) as caught:
        book.put(PING, PING, "x", {"description": "nameless"})
    assert faults_of(caught.value, "1", "name") == ["APPLICATION_COMMANDS_DUPLICATE_NAME"]
    assert faults_of(caught.value, "2") == ["MODEL_TYPE_CONVERT"]
    assert faults_of(caught.value, "3", "name") == ["BASE_TYPE_REQUIRED"]
    assert len(book) == 0


def test_hundred_and_first_slash_command_is_refused(book: Book) -> None:
    many = [{"name": f"c{number}", "description": "d"} for number in range(101)]
    with pytest.raises(DiscordError) as caught:
        book.put(*many)
    assert caught.value.fault.code == 30032
    book.put(*many[:100])
    with pytest.raises(DiscordError, match="Maximum number"):
        book.add(name="one-more")


def test_two_hundred_and_first_create_of_a_day_is_refused(book: Book) -> None:
    for number in range(200):
        book.add(scope="77", name=f"c{number % 2}")
        book.put(scope="77")
    with pytest.raises(DiscordError) as caught:
        book.add(scope="77")
    assert caught.value.fault.code == 30034
    assert book.add(scope="77", now=NOW + 86_401)


def test_a_bulk_overwrite_must_name_the_entry_point(book: Book) -> None:
    entry = {"type": 4, "name": "launch", "handler": 2}
    (before,) = book.put(entry)
    assert (before["handler"], before["description"]) == (2, "")
    with pytest.raises(DiscordError) as refusal:
        book.put(PING)
    assert refusal.value.fault.code == 50240
    assert book.put(PING, entry)[1] == before
    book.delete(None, before["id"])
    assert [each["name"] for each in book.put(PING)] == ["ping"]
