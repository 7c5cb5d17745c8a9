"""What a terminal plays, keeps and refuses: values in, values out."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.ip_terminal.notice import Notice, Signer, Words
from drills.world.terminal_player import REPEATS, REPLAYS, Player, Refusal, Refused, Volume
from tests.samples import SENT

SIGNER = Signer(bytes(range(32)))
WORDS = (Words("ja", "避難指示", "【訓練】大沢の人は いますぐ避難", "大沢", "川があふれます。"),)
ORDER = Notice(
    mid="order",
    thread="order",
    seq=100,
    verb="issue",
    status="Exercise",
    priority=2,
    level=4,
    sent=SENT,
    expires=SENT + timedelta(hours=12),
    words=WORDS,
)
CANCEL = replace(ORDER, mid="cancel", seq=200, verb="retract", priority=1)


class Time:
    def __init__(self) -> None:
        self.now = SENT

    def __call__(self):
        return self.now


@pytest.fixture
def now() -> Time:
    return Time()


@pytest.fixture
def player(now) -> Player:
    return Player(SIGNER.public, now, "Exercise")


def other(mid: str, priority: int = 4, **changed) -> Notice:
    return replace(ORDER, mid=mid, thread=mid, priority=priority, **changed)


def hear(player: Player, *notices: Notice) -> None:
    for notice in notices:
        player.hear(SIGNER.sign(notice))


def on_screen(player: Player) -> str | None:
    return player.on_screen.notice.mid if player.on_screen else None


def refusal(player: Player, payload: bytes) -> Refusal:
    with pytest.raises(Refused) as refused:
        player.hear(payload)
    assert str(refused.value)
    return refused.value.why


def test_an_order_comes_to_the_screen_at_maximum_volume(player):
    playing = player.hear(SIGNER.sign(ORDER))
    assert player.current is playing
    assert player.on_screen is playing
    assert playing.volume is Volume.MAXIMUM


@pytest.mark.parametrize(("level", "volume"), [(5, "maximum"), (4, "maximum"), (3, "set"), (None, "set")])
def test_the_volume_is_maximum_at_level_4_and_5_alone(player, level, volume):
    playing = player.hear(SIGNER.sign(replace(ORDER, level=level, priority=3)))
    assert playing.volume == volume


def test_the_same_notice_twice_is_one(player):
    hear(player, ORDER)
    assert player.hear(SIGNER.sign(ORDER)) is None
    assert len(player.kept) == 1


def test_a_notice_that_comes_again_long_after_it_left_the_screen_is_still_the_same(player):
    """As after a kill -9 of the node, when the PUBACK was lost."""
    hear(player, ORDER)
    player.acknowledge("order")
    hear(player, *(other(f"m{n}") for n in range(REPLAYS + 1)))
    assert player.hear(SIGNER.sign(ORDER)) is None
    assert on_screen(player) == "m0"


def test_what_somebody_else_signed_is_refused(player):
    assert refusal(player, Signer(bytes(32)).sign(ORDER)) is Refusal.FORGED
    assert player.current is None


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_altered_bit_is_refused(at, bit):
    payload = bytearray(SIGNER.sign(ORDER))
    payload[at % len(payload)] ^= 1 << bit
    player = Player(SIGNER.public, lambda: SENT)
    assert refusal(player, bytes(payload)) is Refusal.FORGED
    assert player.current is None


@given(st.binary(max_size=400))
def test_hostile_bytes_are_refused(payload):
    assert refusal(Player(SIGNER.public, lambda: SENT), payload) is Refusal.FORGED


def test_what_has_ended_is_refused_and_what_ends_leaves_the_screen(player, now):
    hear(player, ORDER)
    now.now = ORDER.expires
    assert refusal(player, SIGNER.sign(other("late"))) is Refusal.EXPIRED
    player.look()
    assert player.current is None


def test_the_other_mode_is_refused(player):
    assert refusal(player, SIGNER.sign(replace(ORDER, status="Actual"))) is Refusal.OTHER_MODE


def test_an_order_after_its_own_retraction_is_old(player):
    hear(player, CANCEL)
    assert refusal(player, SIGNER.sign(ORDER)) is Refusal.OLD
    assert on_screen(player) == "cancel"


def test_a_recording_of_what_was_replaced_is_old(player):
    hear(player, ORDER, CANCEL)
    assert refusal(player, SIGNER.sign(ORDER)) is Refusal.OLD
    assert on_screen(player) == "cancel"


def test_a_retraction_takes_the_place_of_its_order_wherever_that_stands(player):
    hear(player, ORDER, other("urgent", 1))
    assert on_screen(player) == "urgent"
    hear(player, replace(CANCEL, priority=2))
    player.acknowledge("urgent")
    assert on_screen(player) == "cancel"
    player.acknowledge("cancel")
    assert player.waiting == 0


def test_a_more_urgent_one_interrupts_and_the_other_comes_back(player):
    hear(player, other("newsletter", 9), ORDER)
    assert on_screen(player) == "order"
    player.acknowledge("order")
    assert on_screen(player) == "newsletter"


def test_ties_are_served_first_come(player):
    hear(player, other("a"), other("b"), other("c"))
    seen = []
    while player.current and not player.current.is_acknowledged:
        seen.append(on_screen(player))
        player.acknowledge(on_screen(player))
    assert seen == ["a", "b", "c"]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_whatever_comes_nobody_waits_behind_a_less_urgent_one(priorities):
    player = Player(SIGNER.public, lambda: SENT)
    hear(player, *(other(f"m{n}", p) for n, p in enumerate(priorities)))
    seen = []
    while player.current and not player.current.is_acknowledged:
        seen.append((player.current.notice.priority, int(on_screen(player)[1:])))
        player.acknowledge(on_screen(player))
    assert seen == sorted(seen)
    assert len(seen) == len(priorities)


def test_the_last_six_are_kept_for_replay(player):
    hear(player, *(other(f"m{n}") for n in range(8)))
    assert [p.notice.mid for p in player.kept] == [f"m{n}" for n in range(7, 1, -1)]
    assert len(player.kept) == REPLAYS
    assert player.replay(6).notice.mid == "m2"
    assert on_screen(player) == "m2"
    assert player.replay(7) is None


def test_a_replay_silences_nothing_and_ends_when_what_is_current_sounds(player):
    hear(player, other("newsletter", 9), ORDER)
    assert player.replay(2).notice.mid == "newsletter"
    assert on_screen(player) == "newsletter"
    assert player.sound().notice.mid == "order"
    assert on_screen(player) == "order"


def test_a_replay_ends_when_something_new_comes(player):
    hear(player, ORDER, other("newsletter", 9))
    player.acknowledge("order")
    player.replay(2)
    hear(player, CANCEL)
    assert on_screen(player) == "cancel"


def test_a_replayed_order_that_was_taken_back_does_not_hold(player, now):
    hear(player, ORDER, CANCEL)
    assert player.holds(player.current)
    assert not player.holds(player.replay(2))
    player.end_replay()
    assert on_screen(player) == "cancel"
    now.now = CANCEL.expires
    assert not player.holds(player.replay(1))


def test_it_sounds_again_and_again_until_somebody_answers(player):
    hear(player, ORDER)
    assert player.sound().sounded == 1
    assert player.sound().sounded == 2
    player.acknowledge("order")
    assert player.sound() is None


def test_unanswered_it_falls_silent_in_the_end(player):
    hear(player, ORDER)
    assert sum(player.sound() is not None for _ in range(100)) == REPEATS


def test_signed_and_yet_no_notice_is_forged(player):
    body = json.loads(SIGNER.sign(ORDER))
    for broken in ({"v": 2}, {"info": 1}, {"exp": "soon"}, {"prio": "1"}):
        fields = {k: v for k, v in {**body, **broken}.items() if k not in {"kid", "sig"}}

        class Odd:
            def body(self, fields=fields) -> bytes:
                return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

        assert refusal(player, SIGNER.sign(Odd())) is Refusal.FORGED
