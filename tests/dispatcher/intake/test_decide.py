"""What each telegram asks of the desk: over all of JMA's samples, over telegrams of our own, and over what a policy may send."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from config.cities import load
from config.intake import PEOPLE_ONLY, Policy, Sent, load_places, load_policy, load_table
from dispatcher.intake.decide import Lane, Outcome, after, decide
from dispatcher.intake.order import Known, event_key
from dispatcher.intake.places import concern
from dispatcher.intake.taking import read
from dispatcher.model.draft import Verb
from tests.dispatcher.intake.telegrams import (
    H27,
    MITAKA,
    MUSASHINO,
    NONE,
    R06_RAIN,
    R06_SOIL,
    EarlyWarning,
    Quake,
    Tornado,
    Tsunami,
    Weather,
    Wordless,
)
from tests.samples import SENT

CITY, PLACES, TABLE = load("mitaka"), load_places("mitaka"), load_table()
SAMPLES = Path(__file__).parents[2] / "data" / "jma" / "samples"
SECONDS = load_policy("seconds-count")
EVERYTHING = Policy(
    name="everything", about="whatever a policy can be made to send", send=(Sent(titles=("*",), kinds=("*",)),)
)
RAIN = ("大雨警報", "03", "発表")
LIFTED = ("大雨警報", "03", "解除")

EXPECTED = {
    "01_01_02_091210_VGSK50": ("VGSK50", "ignored", None),
    "01_01_03_091210_VGSK50": ("VGSK50", "ignored", None),
    "02_03_02_201224_VGSK55": ("VGSK55", "ignored", None),
    "02_04_02_201224_VGSK55": ("VGSK55", "ignored", None),
    "03_01_02_091210_VGSK60": ("VGSK60", "ignored", None),
    "03_01_03_091210_VGSK60": ("VGSK60", "ignored", None),
    "09_01_01_091210_VPTW40": ("VPTW40", "ignored", None),
    "15_08_04_160628_VPWW53": ("VPWW53", "ignored", None),  # 奈良
    "15_14_01_170216_VPWW54": ("VPWW54", "ignored", None),  # 東京, but nothing for 三鷹市
    "17_01_01_190529_VXWW50": ("VXWW50", "ignored", None),  # 福岡
    "18_01_01_100806_VPOA50": ("VPOA50", "ignored", None),  # 大阪
    "19_01_01_091210_VPHW50": ("VPHW50", "draft", "tornado-advisory"),
    "19_04_01_140425_VPHW51": ("VPHW51", "draft", "tornado-advisory"),
    "20_02_01_160628_VPZJ50": ("VPZJ50", "ignored", None),
    "21_02_01_160628_VPCJ50": ("VPCJ50", "ignored", None),
    "22_01_01_100514_VPFJ50": ("VPFJ50", "ignored", None),
    "32-35_01_01_100806_VXSE51": ("VXSE51", "draft", "earthquake-information"),  # 東京都多摩東部 震度３
    "32-35_01_02_240613_VXSE52": ("VXSE52", "drill", None),
    "32-35_01_03_100514_VXSE53": ("VXSE53", "ignored", None),  # フィジー
    "32-35_04_03_240613_VXSE52": ("VXSE52", "ignored", None),
    "32-39_11_02_250206_VTSE41": ("VTSE41", "draft", "tsunami-warning"),  # 伊豆諸島, by the sea policy
    "32-39_11_03_250206_VTSE51": ("VTSE51", "draft", "tsunami-warning"),
    "32-39_12_02_250206_VTSE41": ("VTSE41", "drill", "tsunami-warning"),
    "32-39_12_05_250206_VTSE52": ("VTSE52", "drill", None),
    "37_01_01_240613_VXSE43": ("VXSE43", "ignored", None),  # 四国
    "43_01_01_200522_VFVO52": ("VFVO52", "ignored", None),
    "54_01_01_100514_VXSE42": ("VXSE42", "drill", None),
    "62_01_01_130412_VPNO50": ("VPNO50", "ignored", None),
    "77_01_01_240613_VXSE45": ("VXSE45", "ignored", None),
}


class Node:
    """Decides as a node would, one telegram after the other, with what it knows."""

    def __init__(self, lane=Lane.BOTH, policy=PEOPLE_ONLY, now=None):
        self.lane, self.policy, self.now = lane, policy, now
        self.known: dict[str, Known] = {}

    def take(self, telegram):
        read_ = read(telegram if isinstance(telegram, bytes) else telegram.xml(), CITY)
        key = event_key(read_)
        known = self.known.get(key)
        about = concern(read_, CITY, PLACES)
        decision = decide(read_, about, TABLE, lane=self.lane, policy=self.policy, known=known, now=self.now)
        if decision.is_news:
            self.known[key] = after(known, read_, decision)
        assert decision.reason
        return decision


def outcomes(*telegrams, **node):
    at = Node(**node)
    return [at.take(telegram).outcome for telegram in telegrams]


def test_every_sample_has_an_expected_decision():
    assert set(EXPECTED) == {path.stem for path in SAMPLES.glob("*.xml")}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_sample_is_decided_as_it_should_be(name):
    decision = Node().take((SAMPLES / f"{name}.xml").read_bytes())
    assert (decision.type, decision.outcome, decision.template) == EXPECTED[name]
    assert bool(decision.quarters) is (decision.template is not None)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_nothing_is_sent_without_a_policy_and_no_sample_must_fire_by_the_one_that_comes_with_it(name):
    data = (SAMPLES / f"{name}.xml").read_bytes()
    assert Node().take(data).outcome is not Outcome.SENT
    assert Node(policy=SECONDS).take(data).outcome is not Outcome.SENT


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_even_a_policy_that_names_everything_sends_only_what_is_meant_and_names_the_city(name):
    must_fire = {"19_01_01_091210_VPHW50", "19_04_01_140425_VPHW51", "32-35_01_01_100806_VXSE51"}
    decision = Node(policy=EVERYTHING).take((SAMPLES / f"{name}.xml").read_bytes())
    assert (decision.outcome is Outcome.SENT) is (name in must_fire)


SPECIAL = (("レベル５大雨特別警報", "33", "発表"),)
MUST_FIRE = {
    "a special warning for the city": Weather(title=R06_RAIN, says=((MITAKA, SPECIAL),)),
    "one in the words of the old scheme": Weather(title=H27, says=((MITAKA, (("大雨特別警報", "33", "発表"),)),)),
    "an earthquake early warning for its area": EarlyWarning(),
}
MUST_NOT_FIRE = {
    "a warning": Weather(),
    "a danger warning": Weather(title=R06_RAIN, says=((MITAKA, (("レベル４大雨危険警報", "43", "発表"),)),)),
    "a special warning for a neighbour": Weather(title=R06_RAIN, says=((MUSASHINO, SPECIAL), (MITAKA, (NONE,)))),
    "a drill": Weather(title=R06_RAIN, says=((MITAKA, SPECIAL),), status="訓練"),
    "a test": Weather(title=R06_RAIN, says=((MITAKA, SPECIAL),), status="試験"),
    "a correction": Weather(title=R06_RAIN, says=((MITAKA, SPECIAL),), info_type="訂正"),
    "a retraction": Weather(title=R06_RAIN, says=((MITAKA, SPECIAL),), info_type="取消"),
    "a late one": Weather(title=R06_RAIN, says=((MITAKA, SPECIAL),), info_type="遅延"),
    "a lifting": Weather(title=R06_RAIN, says=((MITAKA, (("レベル５大雨特別警報", "33", "解除"),)),)),
    "an earthquake early warning elsewhere": EarlyWarning(areas=(("愛媛県南予", "622"),)),
    "an earthquake": Quake(),
    "a tsunami at sea": Tsunami(),
}


@pytest.mark.parametrize("name", sorted(MUST_FIRE))
def test_the_policy_must_fire(name):
    assert Node(policy=SECONDS).take(MUST_FIRE[name]).outcome is Outcome.SENT
    assert Node().take(MUST_FIRE[name]).outcome is Outcome.DRAFT


@pytest.mark.parametrize("name", sorted(MUST_NOT_FIRE))
def test_the_policy_must_not_fire(name):
    assert Node(policy=SECONDS).take(MUST_NOT_FIRE[name]).outcome is not Outcome.SENT


def test_a_policy_sends_the_first_of_an_event_alone():
    early = EarlyWarning()
    again = early.later(1, serial="2", areas=(*early.areas, ("東京都２３区", "350")))
    assert outcomes(early, again, policy=SECONDS) == [Outcome.SENT, Outcome.DRAFT]


def test_a_policy_for_the_milder_kind_does_not_send_the_worse_one_that_came_with_it():
    advisories = Policy(name="advisories", about="注意報だけ", send=(Sent(titles=("*",), kinds=("*注意報",)),))
    thunder = ("雷注意報", "14", "発表")
    assert outcomes(Weather(says=((MITAKA, (thunder, RAIN)),)), policy=advisories) == [Outcome.DRAFT]
    assert outcomes(Weather(says=((MITAKA, (thunder,)),)), policy=advisories) == [Outcome.SENT]


def test_telegrams_that_lie_days_apart_are_different_events_whichever_comes_first():
    other_place = ((MUSASHINO, (("竜巻注意情報", "1", "発表"),)),)
    early, late = Tornado(), Tornado(says=other_place).later(5 * 1440)
    assert outcomes(early, late) == [Outcome.DRAFT, Outcome.IGNORED]
    assert outcomes(late, early) == [Outcome.IGNORED, Outcome.DRAFT]
    assert outcomes(Tornado().later(5 * 1440), early) == [Outcome.DRAFT, Outcome.DRAFT]


@pytest.mark.parametrize(
    ("title", "kind", "template"),
    [
        (H27, ("大雨特別警報", "33", "発表"), "weather-special-warning"),
        (H27, ("暴風警報", "05", "発表"), "weather-warning"),
        (H27, ("雷注意報", "14", "発表"), "weather-advisory"),
        (R06_RAIN, ("レベル５大雨特別警報", "33", "発表"), "weather-special-warning"),
        (R06_RAIN, ("レベル４大雨危険警報", "43", "発表"), "weather-danger-warning"),
        (R06_RAIN, ("レベル4 大雨危険警報", "43", "発表"), "weather-danger-warning"),
        (R06_RAIN, ("レベル３大雨警報", "03", "発表"), "weather-warning"),
        (R06_RAIN, ("レベル２大雨注意報", "10", "発表"), "weather-advisory"),
        (R06_SOIL, ("レベル４土砂災害危険警報", "49", "発表"), "weather-danger-warning"),
        (
            "気象警報・注意報（Ｒ０６）（何か新しいもの）",
            ("レベル４猛暑危険警報", "99", "発表"),
            "weather-danger-warning",
        ),
        (R06_RAIN, ("呼び名の変わったもの", "43", "発表"), "weather-danger-warning"),
        (R06_RAIN, ("誰も知らないもの", "99", "発表"), "agency-notice"),
        ("土砂災害警戒情報", ("警戒", "3", "発表"), "weather-danger-warning"),
        ("記録的短時間大雨情報", ("記録的短時間大雨情報", "1", "発表"), "heavy-rain-bulletin"),
    ],
)
def test_kinds_of_both_schemes_become_their_template(title, kind, template):
    decision = Node().take(Weather(title=title, says=((MITAKA, (kind,)),)))
    assert (decision.outcome, decision.template) == (Outcome.DRAFT, template)
    assert len(decision.quarters) == 62


def test_the_most_dangerous_of_several_kinds_decides():
    kinds = (("雷注意報", "14", "発表"), ("レベル４大雨危険警報", "43", "発表"), RAIN)
    decision = Node().take(Weather(title=R06_RAIN, says=((MITAKA, kinds),)))
    assert decision.template == "weather-danger-warning"
    assert decision.kinds == ("レベル４大雨危険警報", "大雨警報", "雷注意報")
    assert "警戒レベル4相当" in decision.reason


def test_a_title_that_the_table_does_not_have_is_ignored_by_name():
    decision = Node().take(Weather(title="府県天気予報"))
    assert (decision.outcome, decision.type) == (Outcome.IGNORED, "府県天気予報")
    assert "府県天気予報" in decision.reason


# -- one event after the other ---------------------------------------------------------------------------------------


def test_a_warning_goes_on_grows_and_is_lifted():
    warning = Weather(title=R06_RAIN)
    grown = (("レベル４大雨危険警報", "43", "警報から危険警報"),)
    node = Node()
    first = node.take(warning)
    unchanged = node.take(warning.later(60, says=((MITAKA, (("大雨警報", "03", "継続"),)),)))
    worse = node.take(warning.later(90, says=((MITAKA, grown),)))
    lifted = node.take(warning.later(120, says=((MITAKA, (("レベル４大雨危険警報", "43", "解除"),)),)))
    over = node.take(warning.later(180, says=((MITAKA, (NONE,)),)))
    assert [d.outcome for d in (first, unchanged, worse, lifted, over)] == [
        Outcome.DRAFT, Outcome.IGNORED, Outcome.DRAFT, Outcome.LIFT, Outcome.IGNORED,
    ]  # fmt: skip
    assert [d.verb for d in (first, worse, lifted)] == [Verb.ISSUE, Verb.UPDATE, Verb.LIFT]
    assert lifted.template == "weather-danger-warning"
    assert "unchanged" in unchanged.reason


def test_a_city_that_is_no_longer_named_is_lifted_too():
    warning = Tornado()
    assert outcomes(warning, warning.later(30, serial="2", says=((MUSASHINO, (("竜巻注意情報", "1", "発表"),)),))) == [
        Outcome.DRAFT,
        Outcome.LIFT,
    ]


def test_one_kind_lifted_while_another_goes_on_is_an_update():
    both = Weather(says=((MITAKA, (RAIN, ("洪水警報", "04", "発表"))),))
    decision = Node()
    decision.take(both)
    left = decision.take(both.later(60, says=((MITAKA, (("大雨警報", "03", "継続"), ("洪水警報", "04", "解除"))),)))
    assert (left.outcome, left.verb, left.kinds) == (Outcome.DRAFT, Verb.UPDATE, ("大雨警報",))


def test_a_lifting_alone_still_says_lift():
    assert outcomes(Weather(says=((MITAKA, (LIFTED,)),))) == [Outcome.LIFT]


@pytest.mark.parametrize("retraction", [Weather, Wordless])
def test_a_retraction_of_what_was_announced_is_a_retraction_with_or_without_words(retraction):
    warning = Weather(event_id="JPTK260001", serial="1")
    cancelled = retraction(event_id="JPTK260001", serial="2", info_type="取消", reported=SENT + timedelta(minutes=5))
    node = Node()
    node.take(warning)
    decision = node.take(cancelled)
    assert (decision.outcome, decision.verb, decision.template) == (Outcome.RETRACT, Verb.RETRACT, "weather-warning")
    assert len(decision.quarters) == 62


def test_a_retraction_that_names_the_city_is_one_without_any_memory():
    assert outcomes(Weather(info_type="取消")) == [Outcome.RETRACT]
    assert outcomes(Wordless()) == [Outcome.IGNORED]  # of somebody else's warning, for all that anybody knows
    assert outcomes(Weather(info_type="取消", says=((MUSASHINO, (RAIN,)),))) == [Outcome.IGNORED]


def test_a_correction_corrects_and_one_that_leaves_the_city_out_takes_back():
    warning = Weather(event_id="JPTK260001", serial="1")
    corrected = warning.later(5, serial="1", info_type="訂正", says=((MITAKA, (("洪水警報", "04", "発表"),)),))
    left_out = warning.later(5, serial="1", info_type="訂正", says=((MITAKA, (NONE,)), (MUSASHINO, (RAIN,))))
    assert outcomes(warning, corrected) == [Outcome.DRAFT, Outcome.CORRECT]
    assert outcomes(warning, left_out) == [Outcome.DRAFT, Outcome.RETRACT]


def test_a_downgrade_is_an_update_to_the_milder_notice():
    warning = Weather()
    node = Node()
    node.take(warning)
    milder = node.take(warning.later(60, says=((MITAKA, (("大雨注意報", "10", "警報から注意報"),)),)))
    assert (milder.outcome, milder.verb, milder.template) == (Outcome.DRAFT, Verb.UPDATE, "weather-advisory")


# -- order and duplicates --------------------------------------------------------------------------------------------


def test_the_same_telegram_twice_is_one():
    warning = Weather(event_id="JPTK260001", serial="1")
    node = Node()
    node.take(warning)
    assert "duplicate" in node.take(warning).reason
    assert "duplicate" in node.take(Weather(event_id="JPTK260001", serial="1", office="気象庁")).reason


def test_an_older_serial_that_comes_late_changes_nothing():
    warning = Weather(event_id="JPTK260001", serial="3")
    late = Weather(event_id="JPTK260001", serial="2", says=((MITAKA, (LIFTED,)),), reported=SENT + timedelta(hours=1))
    node = Node()
    node.take(warning)
    decision = node.take(late)
    assert (decision.outcome, "older" in decision.reason) == (Outcome.IGNORED, True)


def test_an_event_that_is_one_name_for_ever_counts_again_from_one():
    soil = Weather(
        title="土砂災害警戒情報", event_id="東京都土砂災害警戒情報", says=((MITAKA, (("警戒", "3", "発表"),)),)
    )
    lifted = ((MITAKA, (("解除", "1", "解除"),)),)
    assert outcomes(
        replace(soil, serial="4"),
        soil.later(60, serial="5", says=lifted),
        soil.later(90, serial="1"),  # the next one, the same night
        soil.later(500, serial="1"),  # and one whose end was never heard of
    ) == [Outcome.DRAFT, Outcome.LIFT, Outcome.DRAFT, Outcome.DRAFT]


def test_without_an_event_the_time_tells_the_order():
    lifted = Weather(says=((MITAKA, (LIFTED,)),))
    assert outcomes(lifted.later(10), lifted.later(5, says=((MITAKA, (RAIN,)),))) == [Outcome.LIFT, Outcome.IGNORED]
    # A tornado's serial starts again the next day.
    assert outcomes(Tornado(serial="2"), Tornado(serial="1").later(1440)) == [Outcome.DRAFT, Outcome.DRAFT]


def test_what_goes_on_unchanged_still_moves_the_order_on():
    warning = Weather(event_id="JPTK260001", serial="1")
    third = warning.later(60, serial="3", says=((MITAKA, (("大雨警報", "03", "継続"),)),))
    second = warning.later(30, serial="2", says=((MITAKA, (LIFTED,)),))
    assert outcomes(warning, third, second) == [Outcome.DRAFT, Outcome.IGNORED, Outcome.IGNORED]


def test_two_events_and_two_titles_do_not_disturb_each_other():
    one, other = Weather(event_id="A", serial="5"), Weather(event_id="B", serial="1")
    soil = Weather(
        title=R06_SOIL, event_id="A", serial="1", says=((MITAKA, (("レベル３土砂災害警報", "09", "発表"),)),)
    )
    assert outcomes(one, other, soil) == [Outcome.DRAFT] * 3


def test_a_drill_is_another_event_than_the_real_one():
    real, drill = Weather(event_id="A", serial="1"), Weather(event_id="A", serial="9", status="訓練")
    assert outcomes(drill, real) == [Outcome.DRILL, Outcome.DRAFT]


# -- lanes and age ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["訓練", "試験"])
def test_a_drill_is_for_a_drill_node_alone_and_the_real_one_for_a_live_node(status):
    drill = Weather(status=status)
    assert outcomes(drill, lane=Lane.LIVE) == [Outcome.IGNORED]
    assert outcomes(drill, lane=Lane.DRILL) == [Outcome.DRILL]
    assert outcomes(Weather(), lane=Lane.DRILL) == [Outcome.IGNORED]
    assert Node(lane=Lane.DRILL).take(drill).template == "weather-warning"


def test_in_a_drill_too_what_is_lifted_or_retracted_keeps_its_verb():
    node = Node(lane=Lane.DRILL)
    node.take(Weather(status="訓練"))
    assert node.take(Weather(status="訓練", says=((MITAKA, (LIFTED,)),)).later(5)).verb is Verb.LIFT


def test_what_is_old_or_no_longer_valid_makes_no_draft():
    assert outcomes(Weather(), now=SENT + timedelta(hours=5)) == [Outcome.DRAFT]
    assert outcomes(Weather(), now=SENT + timedelta(hours=7)) == [Outcome.IGNORED]
    assert outcomes(Tornado(minutes=60), now=SENT + timedelta(minutes=61)) == [Outcome.IGNORED]


# -- places ----------------------------------------------------------------------------------------------------------


def test_a_neighbours_warning_is_none_of_the_city_though_the_headline_names_tokyo():
    decision = Node().take(Weather(says=((MUSASHINO, (RAIN,)), (MITAKA, (NONE,)))))
    assert (decision.outcome, "三鷹市" in decision.reason) == (Outcome.IGNORED, True)
    assert outcomes(Weather(says=((MUSASHINO, (RAIN,)),))) == [Outcome.IGNORED]


def test_only_where_nothing_more_exact_is_said_the_prefecture_speaks_for_the_city():
    osaka = (SAMPLES / "18_01_01_100806_VPOA50.xml").read_text(encoding="utf-8")
    tokyo = osaka.replace("大阪府", "東京都").replace("270000", "130000").encode()
    decision = Node(policy=EVERYTHING).take(tokyo)
    # And no policy sends on so wide a word.
    assert (decision.outcome, decision.template) == (Outcome.DRAFT, "heavy-rain-bulletin")


def test_the_citys_own_intensity_is_told_and_not_the_greatest_of_its_area():
    shaken = Quake(title="震源・震度に関する情報", cities=(("府中市", "1320600", "5-"), ("三鷹市", "1320400", "4")))
    assert Node().take(shaken).kinds == ("震度４",)
    assert outcomes(replace(shaken, cities=(("三鷹市", "1320400", "2"),))) == [Outcome.IGNORED]


def test_an_intensity_of_the_wider_area_holds_where_the_citys_own_is_missing():
    assert (
        Node().take(Quake(areas=(("東京都多摩東部", "351", "4"), ("武蔵野市", "1320300", "4")))).outcome
        is Outcome.DRAFT
    )
    assert outcomes(Quake(areas=(("東京都２３区", "350", "5+"),))) != [Outcome.SENT]


@pytest.mark.parametrize(
    ("sea", "outcome", "template"),
    [
        (("東京湾内湾", "312", "大津波警報", "52", "津波なし"), Outcome.DRAFT, "tsunami-warning"),
        (("相模湾・三浦半島", "330", "津波注意報", "62", "津波なし"), Outcome.DRAFT, "tsunami-advisory"),
        (("東京湾内湾", "312", "津波予報（若干の海面変動）", "71", "津波なし"), Outcome.IGNORED, None),
        (("三重県南部", "400", "大津波警報", "52", "津波なし"), Outcome.IGNORED, None),
    ],
)
def test_a_sea_concerns_the_city_by_policy(sea, outcome, template):
    decision = Node().take(Tsunami(seas=(sea,)))
    assert (decision.outcome, decision.template) == (outcome, template)


def test_a_tsunami_is_lifted_when_its_sea_is():
    first = Tsunami()
    over = first.later(600, seas=(("東京湾内湾", "312", "津波注意報解除", "60", "津波警報"),))
    assert outcomes(first, over) == [Outcome.DRAFT, Outcome.LIFT]


def test_a_river_concerns_the_quarters_along_it():
    river = Weather(
        title="指定河川洪水予報", event_id="8303030001", serial="1",
        says=((("野川", "830303000100"), (("レベル４氾濫危険警報", "40", "発表"),)),),
    )  # fmt: skip
    decision = Node().take(river)
    assert (decision.outcome, decision.template) == (Outcome.DRAFT, "weather-danger-warning")
    assert CITY.say(decision.quarters, "ja") == "大沢"
