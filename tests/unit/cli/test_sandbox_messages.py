"""Messages and components as lines of text."""

from typing import Any

import pytest
from rich.cells import cell_len

from flotilla.cli.sandbox.answers import answer_lines
from flotilla.cli.sandbox.components import component_lines
from flotilla.cli.sandbox.messages import message_lines
from flotilla.cli.sandbox.text import packed, plain, wrapped

Json = dict[str, Any]
ANN = {"id": "1", "username": "ann", "bot": False}
BOT = {"id": "2", "username": "alpha", "bot": True}


def message(**changes: Any) -> Json:
    made: Json = {
        "id": "9",
        "type": 0,
        "author": ANN,
        "content": "",
        "embeds": [],
        "components": [],
        "attachments": [],
        "mentions": [],
        "flags": 0,
        "timestamp": "2026-05-01T12:00:00+00:00",
        "edited_timestamp": None,
    }
    return made | changes


def body(made: Json, width: int = 60) -> list[str]:
    return [line.plain for line in message_lines(made, width)][1:]


def shown(*components: Json, width: int = 80) -> list[str]:
    return [line.plain for line in component_lines(components, width)]


def test_text_keeps_its_lines_and_is_folded_within_the_width() -> None:
    lines = body(message(content="one\n\n" + "long " * 30 + "漢字" * 30), width=40)
    assert lines[:2] == ["  one", "  "]
    assert max(cell_len(line) for line in lines) <= 40
    assert "".join(line.strip() for line in lines).count("漢字") == 30
    assert lines == [line.rstrip() or "  " for line in lines]


def test_control_characters_are_replaced_and_line_breaks_kept() -> None:
    assert plain("a\r\nb\tc\x1b[2J\x9b1m\x7f") == "a\nb   c␛[2J�1m␡"


def test_mentions_are_shown_by_name() -> None:
    assert body(message(content="<@2> and <@!2>", mentions=[BOT])) == ["  @alpha and @alpha"]


def test_an_embed_stands_behind_a_bar_on_every_line() -> None:
    embed = {
        "author": {"name": "Shop"},
        "title": "Stock",
        "url": "https://example.com",
        "description": "word " * 40,
        "fields": [{"name": "Apples", "value": "12"}],
        "image": {"url": "https://example.com/i.png"},
        "footer": {"text": "today"},
    }
    lines = body(message(embeds=[embed]), width=40)
    assert all(line.startswith("  │ ") and cell_len(line) <= 40 for line in lines)
    assert [line[4:] for line in (*lines[:3], *lines[-3:])] == [
        "Shop",
        "Stock",
        "https://example.com",
        "Apples  12",
        "image https://example.com/i.png",
        "today",
    ]


def test_files_replies_and_edits_are_told() -> None:
    quoted = message(author=BOT, content="line\nbreak " * 20)
    made = message(
        type=19,
        referenced_message=quoted,
        attachments=[{"filename": "a.txt", "size": 3}],
        edited_timestamp="2026-05-01T12:00:01+00:00",
    )
    above, header, file = (line.plain for line in message_lines(made, 40))
    assert above.startswith("↳ to alpha: line break line")
    assert cell_len(above) <= 40
    assert header.endswith("  9  (edited)")
    assert file == "  file a.txt (3 bytes)"


def test_a_deleted_quoted_message_is_left_out() -> None:
    assert len(message_lines(message(type=19, referenced_message=None, content="x"), 40)) == 2


@pytest.mark.parametrize(
    ("component", "line"),
    [
        ({"type": 2, "label": "Go", "custom_id": "go", "emoji": {"name": "🚀"}}, "[ 🚀 Go ] go"),
        ({"type": 2, "style": 6, "sku_id": "7"}, "[  ] sku 7"),
        ({"type": 5, "custom_id": "who"}, "[ Make a selection ▾ ] who: users, by id"),
        (
            {"type": 8, "custom_id": "c", "min_values": 2, "max_values": 2},
            "[ Make a selection ▾ ] c: channels, by id (2)",
        ),
        ({"type": 4, "custom_id": "n", "label": "Name", "min_length": 1}, "n  Name  (required, 1 to 4000 characters)"),
        (
            {"type": 18, "label": "Why", "component": {"type": 4, "custom_id": "w", "required": False}},
            "w  Why  (optional)",
        ),
        (
            {
                "type": 18,
                "label": "Size",
                "component": {"type": 21, "custom_id": "s", "options": [{"label": "Big", "value": "b"}]},
            },
            "s  Size  (required, one of b (Big))",
        ),
        ({"type": 18, "label": "File", "component": {"type": 19, "custom_id": "f"}}, "f  File  (required, a file)"),
        ({"type": 11, "media": {"url": "https://example.com/t.png"}}, "image https://example.com/t.png"),
        ({"type": 13, "file": {"url": "attachment://a.txt"}}, "file attachment://a.txt"),
        ({"type": 14, "divider": False}, ""),
        ({"type": 99}, "a component of type 99"),
    ],
)
def test_each_component_shows_what_to_use_it_by(component: Json, line: str) -> None:
    assert shown(component) == [line]


def test_a_labelled_menu_stands_under_its_label() -> None:
    menu = {"type": 3, "custom_id": "m", "options": [{"label": "A", "value": "a"}]}
    assert shown({"type": 18, "label": "Pick", "component": menu}) == ["Pick", "[ Make a selection ▾ ] m: a (A)"]


def test_buttons_go_side_by_side_as_far_as_they_fit() -> None:
    row = {"type": 1, "components": [{"type": 2, "label": name * 6, "custom_id": name} for name in "abcd"]}
    assert shown(row, width=30) == ["[ aaaaaa ] a   [ bbbbbb ] b", "[ cccccc ] c   [ dddddd ] d"]
    assert packed([], 10) == []
    assert wrapped("", 10) == []


def test_answers_are_told_by_what_they_are() -> None:
    def told(kind: int, status: str = "answered", **more: Any) -> list[str]:
        data = more.pop("data", {})
        report: Json = {
            "interaction_id": "5",
            "status": status,
            "elapsed_ms": 4.0,
            "response": {"type": kind, "data": data},
            "message": None,
            "follow_ups": [],
        } | more
        return [line.plain for line in answer_lines(report, "my bot", 80)]

    assert told(5, "deferred") == ["my bot deferred after 4.0 ms, then deleted its answer"]
    assert told(6, "deferred", message=message(content="x"))[0] == "my bot acknowledged after 4.0 ms"
    assert told(8, data={"choices": []}) == ["my bot offered no choices after 4.0 ms"]
    assert told(8, data={"choices": [{"name": "A", "value": 1}]}) == ["my bot offered 1 choice after 4.0 ms", "  A  1"]
    assert told(4, "pending") == ["my bot has not answered yet."]
    form = {"title": "T", "custom_id": "f", "components": []}
    assert told(9, data=form)[-1] == "Submit it with: flotilla sandbox submit 'my bot' 5 --field NAME=VALUE"
