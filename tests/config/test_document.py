"""A document keeps what was typed and where, and hostile bytes are refused by name, quickly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.document import MAX_BYTES, ConfigError, load, parse, read


def reasons(data):
    with pytest.raises(ConfigError) as refused:
        read(data, "site.yaml")
    return [str(problem) for problem in refused.value.problems]


def test_a_scalar_keeps_the_text_that_was_typed_and_its_line():
    document = read(b"at: 10:00:00\non: yes\nnothing: ~\nquoted: '~'\n", "site.yaml").value
    assert {name: node.value for name, node in document.items()} == {
        "at": "10:00:00", "on": "yes", "nothing": None, "quoted": "~",
    }  # fmt: skip
    assert [node.line for node in document.values()] == [1, 2, 3, 4]
    assert document["quoted"].is_quoted


def test_a_block_stands_where_its_key_stands():
    document = read(b"# first\nchannels:\n  website:\n    folder: x\n", "site.yaml").value
    assert document["channels"].line == 2
    assert document["channels"].value["website"].line == 3


@pytest.mark.parametrize("nothing", [b"", b"# only a comment\n", b"---\n", b"~"])
def test_a_file_of_nothing_is_a_mapping_of_nothing(nothing):
    assert read(nothing, "site.yaml").value == {}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a: 1\nb: \xff\n", "site.yaml:2: document: not UTF-8"),
        (b"a: 1\n\nb: \x00\n", "site.yaml:3: document: U+0000 is not accepted in YAML"),
        (b"a:\n\tb: 1\n", "site.yaml:2: document: not YAML: found character '\\t' that cannot start any token"),
        (b"a: 1\n---\nb: 2\n", "site.yaml:2: document: a second document begins here; one is accepted"),
        (b"a: !!python/name:os.system x\n", "no tag is accepted (tag:yaml.org,2002:python/name:os.system)"),
        (b'a: "\\UFFFFFFFF"\n', "site.yaml:1: document: not YAML: an escape names no character"),
        (b'a: "\\ud800"\n', "site.yaml:1: a: control character U+D800 is not accepted"),
        (b'a: "\\e[2J"\n', "site.yaml:1: a: control character U+001B is not accepted"),
        (b"? [x, y]\n: 1\n", "a key is one word of 100 characters at most"),
        (b"x" * 101 + b": 1", "a key is one word of 100 characters at most"),
        (b"a: {b: 1,\n b: 2}\n", "site.yaml:2: a.b: stands twice; first in line 1"),
        (b"#" * (MAX_BYTES + 1), "site.yaml:1: document: more than 1000000 bytes"),
        (b"[" * 100_000, "deeper than 16 levels"),
        (b"{a: " * 100_000, "deeper than 16 levels"),
        (b"a: [" + b"1," * 400_000 + b"]", "more than 10000 values"),
        (b"".join(b"%d: &x%d [*x%d]\n" % (n, n + 1, n) for n in range(30)), "no alias is accepted (*x0)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_document_may_hold_is_refused_at_its_line(data, problem):
    assert any(problem in found for found in reasons(data))


def test_all_that_can_be_read_around_is_said_at_once():
    assert reasons(b"a: &x 1\nb: *x\nc: !t 1\na: 2\n") == [
        "site.yaml:1: a: no anchor is accepted (&x); write the value out",
        "site.yaml:2: b: no alias is accepted (*x); write the value out",
        "site.yaml:3: c: no tag is accepted (!t); write the value plainly",
        "site.yaml:4: a: stands twice; first in line 1",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.yaml:1: document: No such file or directory"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


@given(
    st.binary(max_size=300)
    | st.text(alphabet="ab:{}[]&*!?|>-#'\"\\ \n\t~%@`,0uUx\u2028\ufeff", max_size=120).map(str.encode)
)
def test_no_bytes_raise_anything_but_a_config_error(data):
    try:
        document, problems = parse(data, "site.yaml")
    except ConfigError as error:
        assert error.problems
    else:
        assert document.line >= 1
        assert all(problem.line >= 1 for problem in problems)
