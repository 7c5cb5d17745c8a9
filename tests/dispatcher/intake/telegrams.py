"""Telegrams of our own about Mitaka, in the shape of JMA's: what the samples do not have (the city's own warning, its 解除, 取消, 訂正, 2026's レベル4).

Each is written element by element as the samples are, and a test holds every one against JMA's schema.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

from tests.samples import SENT

MITAKA, MUSASHINO = ("三鷹市", "1320400"), ("武蔵野市", "1320300")
R06_RAIN = "気象警報・注意報（Ｒ０６）（大雨）"
R06_SOIL = "気象警報・注意報（Ｒ０６）（土砂）"
H27 = "気象警報・注意報（Ｈ２７）"
Said = tuple[str, str, str]
"""Kind, code, status: 大雨警報, 03, 発表."""
NONE: Said = ("", "", "発表警報・注意報はなし")


@dataclass(frozen=True)
class Weather:
    """A weather warning for the municipalities of 東京地方."""

    title: str = H27
    says: Sequence[tuple[tuple[str, str], Sequence[Said]]] = ((MITAKA, (("大雨警報", "03", "発表"),)),)
    status: str = "通常"
    info_type: str = "発表"
    event_id: str = ""
    serial: str = ""
    reported: datetime = SENT
    office: str = "気象庁予報部"

    def later(self, minutes: float, **changed) -> "Weather":
        return replace(self, reported=self.reported + timedelta(minutes=minutes), **changed)

    def xml(self) -> bytes:
        return _report(self, "気象警報・注意報", self._headline(), self._body(), "meteorology1").encode()

    def _headline(self) -> str:
        items = "".join(
            f"<Item>{''.join(f'<Kind><Name>{n}</Name><Code>{c}</Code></Kind>' for n, c, s in kinds)}"
            f'<Areas codeType="気象・地震・火山情報／市町村等"><Area><Name>{name}</Name><Code>{code}</Code></Area></Areas></Item>'
            for (name, code), said in self.says
            if (kinds := [s for s in said if s[0] and s[2] != "解除"] or [("解除", "00", "")])
            and any(s[0] for s in said)
        )
        if not items:
            return "<Text>警報・注意報は発表していません。</Text>"
        return f'<Text>大雨に警戒してください。</Text><Information type="気象警報・注意報（市町村等）">{items}</Information>'

    def _body(self) -> str:
        items = "".join(
            f"<Item>{''.join(map(_kind, said))}<Area><Name>{name}</Name><Code>{code}</Code></Area>"
            "<ChangeStatus>警報・注意報種別に変化有</ChangeStatus></Item>"
            for (name, code), said in self.says
        )
        tokyo = "<Area><Name>東京地方</Name><Code>130010</Code></Area>"
        kinds = "".join(_kind(s) for _, said in self.says for s in said[:1])
        return (
            f'<Warning type="気象警報・注意報（一次細分区域等）"><Item>{kinds}{tokyo}</Item></Warning>'
            f'<Warning type="気象警報・注意報（市町村等）">{items}</Warning>'
        )


def _kind(said: Said) -> str:
    name, code, status = said
    named = f"<Name>{name}</Name><Code>{code}</Code>" if name else ""
    return f"<Kind>{named}<Status>{status}</Status></Kind>"


@dataclass(frozen=True)
class Tornado(Weather):
    """竜巻注意情報 with a time until which it holds."""

    title: str = "竜巻注意情報"
    serial: str = "1"
    minutes: int = 60
    says: Sequence[tuple[tuple[str, str], Sequence[Said]]] = ((MITAKA, (("竜巻注意情報", "1", "発表"),)),)

    def xml(self) -> bytes:
        valid = (self.reported + timedelta(minutes=self.minutes)).isoformat()
        return _report(self, "竜巻注意情報", self._headline(), self._body(), "meteorology1", valid).encode()


@dataclass(frozen=True)
class Quake(Weather):
    """震度速報 for areas, 緊急地震速報（警報） with a kind instead of an intensity."""

    title: str = "震度速報"
    event_id: str = "20260914024000"
    areas: Sequence[tuple[str, str, str]] = (("東京都多摩東部", "351", "5-"),)
    """Name, code, greatest intensity."""
    cities: Sequence[tuple[str, str, str]] = ()
    """Within the first of the areas: name, code, greatest intensity."""

    def xml(self) -> bytes:
        heads = "".join(
            f'<Item><Kind><Name>震度{i}</Name></Kind><Areas codeType="地震情報／細分区域">'
            f"<Area><Name>{n}</Name><Code>{c}</Code></Area></Areas></Item>"
            for n, c, i in self.areas
        )
        cities = "".join(
            f"<City><Name>{n}</Name><Code>{c}</Code><MaxInt>{i}</MaxInt></City>" for n, c, i in self.cities
        )
        areas = "".join(
            f"<Area><Name>{n}</Name><Code>{c}</Code><MaxInt>{i}</MaxInt>{'' if at else cities}</Area>"
            for at, (n, c, i) in enumerate(self.areas)
        )
        body = (
            '<Intensity><Observation><CodeDefine><Type xpath="Pref/Code">地震情報／都道府県等</Type></CodeDefine><MaxInt>5-</MaxInt>'
            f"<Pref><Name>東京都</Name><Code>13</Code><MaxInt>5-</MaxInt>{areas}</Pref></Observation></Intensity>"
        )
        head = f'<Text>強い揺れを感じました。</Text><Information type="震度速報">{heads}</Information>'
        return _report(self, "震度速報", head, body, "seismology1").encode()


@dataclass(frozen=True)
class EarlyWarning(Weather):
    """緊急地震速報（警報）."""

    title: str = "緊急地震速報（警報）"
    event_id: str = "20260914024000"
    serial: str = "1"
    areas: Sequence[tuple[str, str]] = (("東京都多摩東部", "351"),)
    before: str = "なし"

    def xml(self) -> bytes:
        last = f"<LastKind><Name>{self.before}</Name><Code>{'31' if '警報' in self.before else '00'}</Code></LastKind>"
        places = "".join(f"<Area><Name>{n}</Name><Code>{c}</Code></Area>" for n, c in self.areas)
        head = (
            '<Text>強い揺れに警戒してください。</Text><Information type="緊急地震速報（細分区域）"><Item>'
            f"<Kind><Name>緊急地震速報（警報）</Name><Code>31</Code></Kind>{last}"
            f'<Areas codeType="地震情報／細分区域">{places}</Areas></Item></Information>'
        )
        return _report(self, "緊急地震速報", head, "", "seismology1").encode()


@dataclass(frozen=True)
class Tsunami(Weather):
    """津波警報・注意報・予報."""

    title: str = "津波警報・注意報・予報a"
    event_id: str = "20260914024000"
    seas: Sequence[tuple[str, str, str, str, str]] = (("東京湾内湾", "312", "津波警報", "51", "津波なし"),)
    """Sea, code, kind, code, the kind before."""

    def xml(self) -> bytes:
        items = "".join(
            f"<Item><Area><Name>{n}</Name><Code>{c}</Code></Area><Category><Kind><Name>{k}</Name><Code>{kc}</Code></Kind>"
            f"<LastKind><Name>{b}</Name><Code>00</Code></LastKind></Category></Item>"
            for n, c, k, kc, b in self.seas
        )
        body = f"<Tsunami><Forecast>{items}</Forecast></Tsunami>"
        return _report(
            self, "津波警報・注意報・予報", "<Text>津波に警戒してください。</Text>", body, "seismology1"
        ).encode()


@dataclass(frozen=True)
class Wordless(Weather):
    """A 取消 as JMA sends most of them: no place, no kind, one sentence."""

    info_type: str = "取消"

    def xml(self) -> bytes:
        said = "<Text>先ほどの電文を取り消します。</Text>"
        body = "<Notice>先ほどの電文を取り消します。</Notice>"
        return _report(self, "気象警報・注意報", said, body, "meteorology1").encode()


def _report(of: Weather, kind: str, headline: str, body: str, space: str, valid: str = "") -> str:
    until = f"<ValidDateTime>{valid}</ValidDateTime>" if valid else ""
    at = of.reported.isoformat()
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Report xmlns="http://xml.kishou.go.jp/jmaxml1/" xmlns:jmx="http://xml.kishou.go.jp/jmaxml1/">'
        f"<Control><Title>{escape(of.title)}</Title><DateTime>{at}</DateTime><Status>{of.status}</Status>"
        f"<EditorialOffice>気象庁本庁</EditorialOffice><PublishingOffice>{of.office}</PublishingOffice></Control>"
        '<Head xmlns="http://xml.kishou.go.jp/jmaxml1/informationBasis1/">'
        f"<Title>東京都{kind}</Title><ReportDateTime>{at}</ReportDateTime><TargetDateTime>{at}</TargetDateTime>{until}"
        f"<EventID>{of.event_id}</EventID><InfoType>{of.info_type}</InfoType><Serial>{of.serial}</Serial>"
        f"<InfoKind>{kind}</InfoKind><InfoKindVersion>1.2_0</InfoKindVersion><Headline>{headline}</Headline></Head>"
        f'<Body xmlns="http://xml.kishou.go.jp/jmaxml1/body/{space}/">{body}</Body></Report>'
    )
