"""Rows as they are written down: the quick way says the same as the one that the chain vouches for."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.ledger import NewDelivery
from dispatcher.ledgers.alerts import delivery_rows
from dispatcher.ledgers.asking import stands
from dispatcher.ledgers.chain import canonical, sha256
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_destinations_are_written_as_the_one_json_text_of_their_value(people):
    new = NewDelivery(
        "k", "a", "website", Priority.LEVEL_4, tuple(Destination(address, name) for address, name in people), None
    )
    (row,) = delivery_rows([new])
    assert row["destinations"] == canonical(people)


def test_what_is_equal_and_not_the_same_does_not_stand_alike() -> None:
    assert len({stands("p00001", [value, "asked"]) for value in (1, True, 1.0, "1")}) == 4
    assert stands("p00002", [1, "asked"]) != stands("p00001", [1, "asked"])
    assert stands("p00001", [1, "asked"]) == sha256('["p00001",1,"asked"]')[:16]
