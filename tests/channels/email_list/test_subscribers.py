"""The register of subscribers: what is taken as an address, and an index that follows the file and answers page by page."""

import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email_list.register import _MEMBERS, _OF_FILE, Register
from channels.email_list.subscribers import BadSubscribers, is_address, read
from dispatcher.clock import SystemClock
from tests.samples import OSAWA


def register(path: Path, folder: Path) -> Register:
    return Register(path, folder, lambda address: sha256(address.encode()).hexdigest()[:24], SystemClock().now)


def csv(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "subscribers.csv"
    path.write_text("\n".join(("address,quarters,language", *lines)) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    "address",
    ["a..b@docomo.ne.jp", "a.@docomo.ne.jp", ".a@ezweb.ne.jp", "user+tag@example.co.jp", "a_b-c@x-y.example.jp"],
)
def test_legacy_addresses_are_taken_as_they_are(address):
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@",
        "@b.jp",
        "a b@c.jp",
        "a@b",
        "a@b.jp\r\nRCPT TO:<x@y.jp>",
        "a\n@b.jp",
        "<a@b.jp>",
        "あ@b.jp",
        "a@b..jp",
        "a@-b.jp",
        "a\x00@b.jp",
        '"a b"@c.jp',
        "a@" + "b" * 300 + ".jp",
    ],
)
def test_what_could_reach_the_wire_as_something_else_is_no_address(address):
    assert not is_address(address)


@given(st.text(max_size=40))
def test_nothing_that_is_taken_as_an_address_breaks_a_line(text):
    if is_address(text):
        assert text.isascii()
        assert not set(text) & set("\r\n <>\x00")


def test_every_wrong_line_is_named(tmp_path):
    path = csv(tmp_path, "a@example.jp,132040301,ja", "b,132040301,ja", "c@example.jp,1,xx", "d@example.jp,132040301")
    with pytest.raises(BadSubscribers) as wrong:
        list(read(path))
    assert [problem.split(":")[1] for problem in wrong.value.problems] == ["3", "4", "4", "5"]


def test_an_index_follows_the_file_and_keeps_the_last_good_one(tmp_path):
    path = csv(tmp_path, "a@example.jp,132040301 132040302,ja", "b@example.jp,132040302,")
    index = register(path, tmp_path)
    index.refresh()
    assert index.count(["132040301", "132040302"]) == 2
    assert index.members(["132040302"], "", 10) == ["a@example.jp", "b@example.jp"]
    assert index.members(["132040302"], "a@example.jp", 10) == ["b@example.jp"]
    path.write_text("rubbish")
    with pytest.raises(BadSubscribers):
        index.refresh()
    assert index.count(["132040301"]) == 1


def test_a_hundred_thousand_are_indexed_and_asked_for_page_by_page(tmp_path):
    path = tmp_path / "subscribers.csv"
    with path.open("w") as file:
        file.write("address,quarters,language\n")
        file.writelines(f"user{n:06d}@example.jp,13204030{n % 6 + 1},ja\n" for n in range(100_000))
    index = register(path, tmp_path)
    index.refresh()
    assert index.count(OSAWA) == 100_000
    seen, last = 0, ""
    while page := index.members(OSAWA, last, 1000):
        assert page == sorted(page)
        assert page[0] > last
        seen, last = seen + len(page), page[-1]
    assert seen == 100_000


def test_two_who_look_at_once_index_a_changed_file_once_and_both_see_it(tmp_path):
    path = tmp_path / "subscribers.csv"
    index = register(path, tmp_path)
    for size in (3000, 3001, 3002):
        lines = (f"user{n:06d}@example.jp,132040301,ja" for n in range(size))
        path.write_text("\n".join(("address,quarters,language", *lines)) + "\n")
        threads = [threading.Thread(target=index.refresh) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert index.count(["132040301"]) == size


def test_a_page_is_read_in_the_order_of_the_index_and_nothing_is_sorted(tmp_path):
    index = register(csv(tmp_path, "a@example.jp,132040301 132040302,ja"), tmp_path)
    index.refresh()
    asked = {"quarters": "[]", "topic": "weather", "now": "", "after": "", "limit": 1}
    with index._open() as opened:
        plan = " ".join(row[3] for row in opened.execute(f"EXPLAIN QUERY PLAN {_MEMBERS.format(_OF_FILE)}", asked))
    assert "TEMP B-TREE" not in plan
