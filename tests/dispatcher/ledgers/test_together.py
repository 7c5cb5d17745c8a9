"""Many who look at the same time look together, and nobody is given what was read before they asked."""

import asyncio

import pytest

from dispatcher.ledgers.together import MOST, Together


class Shelf:
    """What there is, and every look at it, which ends when it is let go."""

    def __init__(self):
        self.there = {}
        self.looks = []
        self.go = asyncio.Event()
        self.fails = False

    async def look(self, keys):
        self.looks.append(list(keys))
        found = {key: self.there[key] for key in keys if key in self.there}
        await self.go.wait()
        if self.fails:
            self.fails = False
            raise OSError("the disk is away")
        return found


async def started(*work):
    tasks = [asyncio.ensure_future(one) for one in work]
    for _ in range(5):
        await asyncio.sleep(0)  # noqa: TID251 - lets those who were started come to where they wait
    return tasks


async def test_who_comes_while_one_looks_goes_into_the_next_look():
    shelf = Shelf()
    together = Together(shelf.look)
    first = await started(together.one("a"))
    rest = await started(*(together.one(key) for key in "bcbd"))
    shelf.there = {"a": 0, "b": 1, "c": 2}
    shelf.go.set()
    assert [await one for one in (*first, *rest)] == [None, 1, 2, 1, None]
    assert shelf.looks == [["a"], ["b", "c", "d"]]


async def test_a_look_that_failed_or_was_given_up_is_nobody_elses_loss():
    shelf = Shelf()
    shelf.there = {"a": 1, "b": 2}
    shelf.fails = True
    together = Together(shelf.look)
    given_up, fails, finds = await started(*(together.one(key) for key in ("a", "a", "b")))
    given_up.cancel()
    await started()
    shelf.go.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    with pytest.raises(OSError, match="away"):
        await fails
    assert await finds == 2


async def test_a_look_is_for_a_bounded_number_of_keys():
    shelf = Shelf()
    together = Together(shelf.look)
    many = await started(*(together.one(str(number)) for number in range(3 * MOST)))
    shelf.go.set()
    assert {await one for one in many} == {None}
    assert max(map(len, shelf.looks)) <= MOST
    assert len(shelf.looks) <= 5
