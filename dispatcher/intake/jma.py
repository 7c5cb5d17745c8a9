"""A JMA telegram (気象庁防災情報XML) → Telegram, whoever wrote the bytes.

One reader for all of them, because all are built alike: Control says what it is and whether it is meant, Head gives the event and
its order, and Head's and Body's Items pair kinds with places. What lies in the future (量的予想時系列) is left out: it announces
nothing yet. A telegram that JMA adds later is read as well, and the tables (config/intake/jma.yaml) say what it means.

Source: jmx.xsd, jmx_ib.xsd, jmx_mete.xsd, jmx_seis.xsd, jmx_volc.xsd; 気象庁防災情報XMLフォーマット 運用指針, コード管理表.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType

from dispatcher.cap.document import Element, outline
from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput
from dispatcher.intake.telegram import InfoType, Kind, Phase, Place, Rank, Statement, Status, Telegram

NAMESPACE = "http://xml.kishou.go.jp/jmaxml1/"
HEAD = "http://xml.kishou.go.jp/jmaxml1/informationBasis1/"
MAX_BYTES = 4_000_000
MAX_STATEMENTS = 50_000
LONGEST = 300
"""Characters of a title, a name, an event id; JMA's longest has about sixty."""
LONGEST_HEADLINE = 4_000

_FORECASTS = frozenset({"TimeSeriesInfo", "CodeDefine"})
_INTENSITIES = MappingProxyType(
    {"5-": "５弱", "5+": "５強", "6-": "６弱", "6+": "６強", "1": "１", "2": "２", "3": "３", "4": "４", "7": "７"}
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_SERIAL = re.compile(r"\d{1,9}", re.ASCII)
_CONTEXTS = MappingProxyType({"Tsunami": Rank.SEA})


def is_jma(root: Element) -> bool:
    return root.name == "Report" and root.namespace == NAMESPACE


def outlined(data: bytes) -> Element:
    """The XML of these bytes, whatever it is.

    Raises:
        InvalidInput: it is none that is accepted.
    """
    root = outline(data, max_bytes=MAX_BYTES)
    if isinstance(root, str):
        raise InvalidInput([Finding("XML", f"読めません ({root})")])
    return root


def read(data: bytes, root: Element | None = None) -> Telegram:
    """The telegram in these bytes; `root` is their outline, where somebody has it already.

    Raises:
        InvalidInput: it is no JMA telegram; every reason is a finding.
    """
    root = root or outlined(data)
    findings: list[Finding] = []
    if not is_jma(root):
        found = f"{root.name} in {root.namespace or 'no namespace'}"
        raise InvalidInput(
            [
                Finding(
                    "JMA", f"気象庁防災情報XMLではありません (accepted is Report in {NAMESPACE}, not {found[:LONGEST]})"
                )
            ]
        )
    control, head = root.first("Control"), root.first("Head")
    if control is None or head is None or head.namespace != HEAD:
        raise InvalidInput([Finding("Report", "Control と Head がありません (Control and Head are needed)")])
    read = _Reader(findings)
    title = read.text(control, "Control", "Title")
    said = Telegram(
        format="JMA",
        title=title,
        status=read.status(control),
        info_type=read.info_type(head),
        event_id=read.text(head, "Head", "EventID", may_be_empty=True),
        serial=read.serial(head),
        reported=read.moment(head, "ReportDateTime"),
        valid_until=read.moment(head, "ValidDateTime") if head.get("ValidDateTime") else None,
        series=read.text(head, "Head", "Title", may_be_empty=True),
        headline=_headline(head),
        statements=tuple(read.statements(root, head)),
        digest=hashlib.sha256(data).hexdigest(),
    )
    if findings:
        raise InvalidInput(findings)
    return said


class _Reader:
    """Reads one telegram; what is wrong with it goes to `findings`, all of it at once."""

    def __init__(self, findings: list[Finding]) -> None:
        self._findings = findings

    def _wrong(self, where: str, reason: str) -> None:
        self._findings.append(Finding(where, reason))

    def text(self, parent: Element, at: str, name: str, *, may_be_empty: bool = False) -> str:
        text = plain(parent.get(name))
        if not text and not may_be_empty:
            self._wrong(f"{at}/{name}", "ありません (missing)")
        if len(text) > LONGEST:
            self._wrong(f"{at}/{name}", f"{len(text)} 字。{LONGEST} 字まで (too long)")
        return text

    def status(self, control: Element) -> Status:
        text = control.get("Status")
        if text not in list(Status):
            self._wrong("Control/Status", f"{text[:20]}: 通常、訓練、試験のどれかです (one of three is accepted)")
            return Status.TEST
        return Status(text)

    def info_type(self, head: Element) -> InfoType:
        text = head.get("InfoType")
        if text not in list(InfoType):
            self._wrong("Head/InfoType", f"{text[:20]}: 発表、訂正、取消、遅延のどれかです (one of four is accepted)")
            return InfoType.ISSUED
        return InfoType(text)

    def serial(self, head: Element) -> int | None:
        text = head.get("Serial")
        if text and not _SERIAL.fullmatch(text):
            self._wrong("Head/Serial", f"{text[:20]}: 数字か空です (a number or nothing is accepted)")
        return int(text) if _SERIAL.fullmatch(text) else None

    def moment(self, head: Element, name: str) -> datetime:
        text = head.get(name)
        try:
            if _TIME.fullmatch(text):
                return datetime.fromisoformat(text).astimezone(JST)
        except (ValueError, OverflowError):
            pass
        self._wrong(f"Head/{name}", f"{text[:40]}: 2026-05-29T12:00:00+09:00 の形の時刻です (a time with an offset)")
        return datetime.fromtimestamp(0, JST)

    def statements(self, root: Element, head: Element) -> Iterator[Statement]:
        """Every pair of kind and place, the body's first: it says what changed, the headline only what holds."""
        seen: set[tuple[str, str, Rank]] = set()
        count = 0
        parts = [child for child in root.children if child.name == "Body"]
        headline = head.first("Headline")
        for part in (*parts, *([headline] if headline is not None else [])):
            for statement in _within(part, None):
                count += 1
                if count > MAX_STATEMENTS:
                    self._wrong("Report", f"区域と種類の組は {MAX_STATEMENTS} までです (too many statements)")
                    return
                about = (statement.place.code or statement.place.name, statement.place.name, statement.place.rank)
                if part.name == "Headline" and about in seen:
                    continue
                if part.name == "Body":
                    seen.add(about)
                yield statement


def plain(text: str) -> str:
    """As people may be shown it: one line, no control or direction character."""
    return " ".join("".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co"} else c for c in text).split())


def _headline(head: Element) -> str:
    headline = head.first("Headline")
    return plain(headline.get("Text"))[:LONGEST_HEADLINE] if headline is not None else ""


def _within(element: Element, context: Rank | None) -> Iterator[Statement]:
    """Statements of this element and below, in the order in which they stand."""
    if element.name in _FORECASTS:
        return
    context = _CONTEXTS.get(element.name, context)
    if element.name == "Item":
        yield from _item(element, context)
        return
    if element.name == "Pref":
        yield from _shaken(element, Rank.PREFECTURE)
    for child in element.children:
        yield from _within(child, context)


def _item(item: Element, context: Rank | None) -> Iterator[Statement]:
    kinds = [*item.all("Kind")]
    last = [*item.all("LastKind")]
    for category in item.all("Category"):
        kinds += category.all("Kind")
        last += category.all("LastKind")
    before = next((k for k in map(_kind, last) if k.name), None)
    said = []
    for element in kinds:
        earlier = before or next((k for k in map(_kind, element.all("LastKind")) if k.name), None)
        said.append((_kind(element), _phase(element, earlier), earlier))
    for place in _places(item, context):
        yield from (Statement(kind, place, phase, earlier) for kind, phase, earlier in said)


def _places(item: Element, context: Rank | None) -> Iterator[Place]:
    for area in item.all("Area"):
        yield _place(area, item.attributes.get("codeType", ""), context)
    for areas in item.all("Areas"):
        for area in areas.all("Area"):
            yield _place(area, areas.attributes.get("codeType", ""), context)


def _place(area: Element, code_type: str, context: Rank | None) -> Place:
    code = plain(area.get("Code"))[:LONGEST]
    return Place(plain(area.get("Name"))[:LONGEST], code, _rank(code_type, code, context))


def _rank(code_type: str, code: str, context: Rank | None) -> Rank:  # noqa: PLR0911 - one return for each table of codes
    """What the code is a code of: as the telegram says, else by where it stands and its length."""
    if "市町村等" in code_type and "府県予報区" not in code_type:
        return Rank.MUNICIPALITY
    if "津波予報区" in code_type:
        return Rank.SEA
    if "河川" in code_type or "水位観測所" in code_type:
        return Rank.RIVER
    if "細分区域" in code_type and "府県予報区" not in code_type:
        return Rank.CLUSTER
    if "地方予報区" in code_type:
        return Rank.REGION
    if code_type.startswith("緊急地震速報") or "都道府県" in code_type:
        return Rank.PREFECTURE
    if code_type and "府県予報区" not in code_type:
        return Rank.OTHER
    if context is not None:
        return context
    match len(code):
        case 7:
            return Rank.MUNICIPALITY
        case 6:
            return Rank.PREFECTURE if code.endswith("0000") else Rank.CLUSTER
        case 12:
            return Rank.RIVER
    return Rank.OTHER


def _kind(element: Element) -> Kind:
    return Kind(plain(element.get("Name"))[:LONGEST], plain(element.get("Code"))[:LONGEST])


def _phase(element: Element, before: Kind | None) -> Phase:
    """解除 stands in the kind's own status (大雨警報 解除) or in its name (解除, 津波注意報解除, 津波なし after a warning)."""
    said = f"{element.get('Status')} {element.get('Condition') if not element.get('Status') else ''}"
    name = element.get("Name")
    if "解除" in said.split() or "解除" in name:
        return Phase.LIFTED
    if not name or "なし" in name or "なし" in said:
        return Phase.LIFTED if before is not None and "なし" not in before.name else Phase.NONE
    is_as_before = not element.get("Status") and before is not None and before.name == plain(name)
    return Phase.CONTINUED if "継続" in said or is_as_before else Phase.ACTIVE


def _shaken(pref: Element, rank: Rank) -> Iterator[Statement]:
    """震度 and 緊急地震速報: prefecture, area and municipality nested, each with its greatest intensity or its own kind."""
    place = Place(plain(pref.get("Name"))[:LONGEST], plain(pref.get("Code"))[:LONGEST], rank)
    intensity = pref.get("MaxInt")
    if intensity:
        yield Statement(Kind(f"震度{_INTENSITIES.get(intensity, plain(intensity)[:8])}"), place)
    for category in pref.all("Category"):
        before = next((k for k in map(_kind, category.all("LastKind")) if k.name), None)
        for kind in category.all("Kind"):
            yield Statement(_kind(kind), place, _phase(kind, before), before)
    for area in pref.all("Area"):
        yield from _shaken(area, Rank.CLUSTER)
    for city in pref.all("City"):
        yield from _shaken(city, Rank.MUNICIPALITY)
