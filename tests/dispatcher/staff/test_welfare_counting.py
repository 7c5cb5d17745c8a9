"""Counts under five are hidden, and nothing that is shown beside them tells what they were."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.staff.counting import HIDDEN_BELOW, Figure, exact, hidden, summed

COLUMNS = ("ok", "hurt", "help")
TABLES = st.dictionaries(
    st.sampled_from(["大沢一丁目", "大沢二丁目", "大沢三丁目", "下連雀一丁目"]),
    st.fixed_dictionaries({name: st.integers(0, 60) for name in COLUMNS}),
    min_size=1,
)


def shown(table):
    cells = {row: {name: hidden(n) for name, n in counts.items()} for row, counts in table.items()}
    return cells, {name: summed(row[name] for row in cells.values()) for name in COLUMNS}


@given(TABLES, st.data())
def test_tables_that_differ_only_in_hidden_cells_are_shown_alike_with_their_sums(table, data):
    other = {
        row: {name: data.draw(st.integers(1, 4)) if 0 < n < HIDDEN_BELOW else n for name, n in cells.items()}
        for row, cells in table.items()
    }
    assert shown(table) == shown(other)


@given(TABLES)
def test_a_sum_as_shown_holds_the_true_one_and_is_exact_where_nothing_is_hidden(table):
    _, sums = shown(table)
    for name in COLUMNS:
        true = sum(cells[name] for cells in table.values())
        assert sums[name].least <= true <= sums[name].most
        if not any(0 < cells[name] < HIDDEN_BELOW for cells in table.values()):
            assert sums[name] == exact(true)


def test_figures_say_what_they_know():
    assert [str(hidden(n)) for n in (0, 1, 4, 5, 1204)] == ["0", "<5", "<5", "5", "1,204"]
    assert str(summed([hidden(2), hidden(3), hidden(7)])) == "9–15"
    assert str(summed([])) == "0"
    assert Figure(1, 4).is_hidden
    assert not Figure(2, 8).is_hidden
