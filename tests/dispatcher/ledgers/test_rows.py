"""Rows as they are written down: the quick way says the same as the one that the chain vouches for."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.ledger import NewDelivery
from dispatcher.ledgers.alerts import delivery_rows
from dispatcher.ledgers.chain import canonical
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
