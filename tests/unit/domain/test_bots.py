import pytest

from flotilla.domain.bots import MAX_TAGS, parse_name, parse_tags
from flotilla.errors import FixInputError


@pytest.mark.parametrize("name", ["a", "shop-1", "shop.eu_2", "0" * 64])
def test_names_of_the_form_are_taken(name: str) -> None:
    assert parse_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a b", "ä", "a/b", "../etc", "x" * 65, "a\n"])
def test_other_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(FixInputError, match="1 to 64 lower-case"):
        parse_name(name)


def test_tags_are_sorted_and_kept_once() -> None:
    assert parse_tags(["b", "a", "b"]) == ("a", "b")


@pytest.mark.parametrize("tags", [["Not A Tag"], [f"t{n}" for n in range(MAX_TAGS + 1)]])
def test_malformed_or_too_many_tags_are_refused(tags: list[str]) -> None:
    with pytest.raises(FixInputError) as caught:
        parse_tags(tags)
    assert caught.value.code == "tag_invalid"
