"""Cable television, driver `file`: pictures and texts in an operator's folder, taken when the operator's side says so.

There is no public wire format for text on cable television, so each operator is a profile: which forms it takes, how its mixer
keys, how its side answers (FORMAT.md). A frame that nobody fetched is on no screen: a drop counts as taken only when the
operator's side wrote its receipt or removed the manifest. Until then each attempt says in words what is missing.

Whatever replaces a message (取消 above all) names it in its manifest and removes it from the folder.

Source: design.md §6; facts.md §Cable-TV text; FORMAT.md.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from channels.cable_tv import forms
from channels.cable_tv.characters import beyond_titler, named
from channels.cable_tv.drawing import studio
from channels.cable_tv.drop import Confirm, Drop, Fate
from channels.cable_tv.pages import LONGEST_EVENT, LONGEST_PLACE, Page, pages
from config.marks import FILLED
from config.units import Seconds
from dispatcher.channel import Channel, Limits, Probe, Tell
from dispatcher.errors import Finding
from dispatcher.model.alert import Alert, Info
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.draft import verb_of
from dispatcher.model.mode import M
from dispatcher.model.rendering import Part, Rendering, Text


class Form(StrEnum):
    """What an operator takes."""

    LSHAPE = "lshape"
    FULL = "full"
    XML = "xml"
    CSV = "csv"


class Picture(StrEnum):
    """How the picture area of an L-shape is left free."""

    ALPHA = "alpha"
    KEY = "key"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """One operator's profile."""

    name: str
    """Its address in this channel: lower-case letters, digits, - and _."""
    title: str = ""
    """How staff call it."""
    drop: Path = field(metadata=FILLED)
    """A folder that the operator's side watches. It has to exist: a share that is not mounted must not be filled unseen."""
    confirm: Confirm = Confirm.RECEIPT
    forms: tuple[Form, ...] = tuple(Form)
    picture: Picture = Picture.ALPHA

    def problems(self) -> Iterable[tuple[str, str]]:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", self.name):
            yield "name", "up to 40 lower-case letters, digits, - and _ are accepted"
        if not self.forms:
            yield "forms", f"at least one of {', '.join(Form)} is needed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`channels.cable_tv` of a site file.

    cable_tv:
      operators:
        - name: catv-1
          title: ケーブルテレビ一社
          drop: drops/catv-1
          confirm: receipt
          forms: [lshape, full, xml, csv]
      languages: [ja, ja-x-easy, en-US]
      pick_up: 30 s
    """

    operators: tuple[Operator, ...]
    languages: tuple[str, ...] = ("ja", "ja-x-easy", "en")
    """Full pages in this order; L-shapes in the first. `en` finds en-US."""
    pick_up: Seconds = 30.0
    """How long an attempt waits for the operator's side."""
    look_every: Seconds = 0.25
    longest_loop: int = 40
    """More pages than this and the alert is refused, to be shortened."""
    fonts: Path | None = None
    """Folder of Noto Sans CJK, where it is not in one of the usual places."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not self.operators:
            yield "operators", "at least one operator is needed"
        names = [operator.name for operator in self.operators]
        if len(set(names)) < len(names):
            yield "operators", "each operator needs a name of its own"
        if len({operator.drop for operator in self.operators}) < len(self.operators):
            yield "operators", "each operator needs a drop folder of its own"
        if not self.languages:
            yield "languages", "at least one language is needed"
        if not 0 < self.look_every <= self.pick_up:
            yield "look_every", "more than 0 s and no more than pick_up is accepted"
        if self.longest_loop < 1:
            yield "longest_loop", "1 or more is accepted"
        try:
            studio(self.fonts)
        except FileNotFoundError as missing:
            yield "fonts", str(missing)


class CableTv(Channel[M, Settings]):
    """Text on cable television in one mode."""

    kind: ClassVar[str] = "cable_tv"
    title: ClassVar[str] = "ケーブルテレビ"
    title_en: ClassVar[str] = "Cable TV"
    Settings: ClassVar[type[Any]] = Settings
    counts_people: ClassVar[bool] = False

    @property
    def limits(self) -> Limits:
        return Limits(
            concurrency=4,
            batch=16,
            attempt_timeout_s=self.settings.pick_up + 30.0,
            first_backoff_s=1.0,
            longest_backoff_s=15.0,
        )

    async def audience(self, quarters: Sequence[str]) -> Audience:
        count = len(self.settings.operators) if quarters else 0
        return Audience(self.kind, tuple(quarters), count, f"ケーブルテレビ {count} 社（見た人は数えない）")

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        for operator in self.settings.operators if audience.quarters else ():
            yield Destination(operator.name, operator.title or operator.name)

    async def probe(self) -> Probe:
        clock = self.surroundings.clock
        started = clock.monotonic()
        faults = []
        for operator in self.settings.operators:
            fault = await asyncio.to_thread(self._drop(operator).check)
            if fault:
                faults.append(f"{operator.title or operator.name}: {fault}（{operator.drop}）")
        if faults:
            return Probe(is_up=False, words="、".join(faults))
        return Probe(is_up=True, words="フォルダに書けます", latency_s=clock.monotonic() - started)

    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        del audience
        infos = self._infos(alert)
        drawn = studio(self.settings.fonts)
        shown = pages(
            alert,
            infos,
            {info.language: self.mode.banner(info.language) for info in infos},
            self.surroundings.city.names,
            drawn.measure,
            self.settings.longest_loop,
        )
        findings = list(self._findings(infos, shown))
        shown = shown[: self.settings.longest_loop]
        message = {
            "identifier": alert.identifier,
            "status": alert.status,
            "msgType": alert.msg_type,
            "verb": verb_of(alert),
            "sent": alert.sent.isoformat(),
            "expires": alert.expires and alert.expires.isoformat(),
            "level": infos[0].level,
            "replaces": [reference.identifier for reference in alert.references],
        }
        parts = [Part(f"{page.name}.png", "image/png", png) for page, png in zip(shown, drawn.draw(shown), strict=True)]
        if any(operator.picture is Picture.KEY for operator in self.settings.operators):
            keyed = [page for page in shown if page.kind == Form.LSHAPE]
            pngs = drawn.draw(keyed, keyed=True)
            parts += [Part(f"key-{page.name}.png", "image/png", png) for page, png in zip(keyed, pngs, strict=True)]
        parts += [
            Part("pages.xml", "application/xml", forms.as_xml(message, shown)),
            Part("pages.csv", "text/csv", forms.as_csv(shown)),
            Part("message.json", "application/json", json.dumps(message, ensure_ascii=False).encode()),
        ]
        return Rendering(
            channel=self.kind,
            identifier=alert.identifier,
            status=alert.status,
            texts=tuple(Text(page.head.language, page.words) for page in shown),
            parts=tuple(parts),
            findings=tuple(findings),
        )

    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        profiles = {operator.name: operator for operator in self.settings.operators}
        async with asyncio.TaskGroup() as group:
            for destination in destinations:
                operator = profiles.get(destination.address)
                if operator is None:
                    tell(Told(destination.address, Outcome.PERMANENT, "この事業者は設定にありません"))
                else:
                    group.create_task(self._to_operator(operator, rendering, tell))

    async def _to_operator(self, operator: Operator, rendering: Rendering[M], tell: Tell) -> None:
        try:
            told = await self._hand_over(operator, rendering)
        except OSError as failure:
            told = Told(
                operator.name, Outcome.TEMPORARY, f"{failure.strerror or type(failure).__name__}（{operator.drop}）"
            )
        tell(told)

    async def _hand_over(self, operator: Operator, rendering: Rendering[M]) -> Told:
        """Put the message where it is not yet, withdraw what it replaces, and wait for the operator's side."""
        clock, drop, name = self.surroundings.clock, self._drop(operator), drop_name(rendering)
        message = json.loads(rendering.part("message.json"))
        files = dict(_files(operator, rendering))
        manifest = forms.manifest(name, message, files)
        standing = await asyncio.to_thread(drop.standing, name, manifest)
        was_taken = standing.fate is Fate.TAKEN
        if standing.fate in {Fate.ABSENT, Fate.CONTRADICTED}:
            await asyncio.to_thread(drop.put, name, files, manifest)
        if not was_taken:
            await asyncio.to_thread(drop.withdraw, message["replaces"], clock.now(), name)
        deadline_s = clock.monotonic() + self.settings.pick_up
        while True:
            standing = await asyncio.to_thread(drop.standing, name, manifest)
            match standing.fate:
                case Fate.TAKEN:
                    outcome = Outcome.DUPLICATE if was_taken else Outcome.TAKEN
                    return Told(operator.name, outcome, "受け手が受け取りました", medium_id=name)
                case Fate.REFUSED:
                    return Told(operator.name, Outcome.PERMANENT, f"受け手が断りました: {standing.words}")
                case Fate.WITHDRAWN:
                    return Told(
                        operator.name, Outcome.PERMANENT, "後のお知らせに置き換わったか期限が過ぎ、取り下げました"
                    )
                case Fate.CONTRADICTED:
                    words = f"受け手の控えが別の内容を指しています: {standing.words}"
                    return Told(operator.name, Outcome.TEMPORARY, words)
            if clock.monotonic() >= deadline_s:
                words = f"フォルダに置きました。{self.settings.pick_up:g} 秒待ちましたが、受け手がまだ取りに来ません"
                return Told(operator.name, Outcome.TEMPORARY, words, medium_id=name)
            await clock.sleep(self.settings.look_every)

    def _drop(self, operator: Operator) -> Drop:
        return Drop(operator.drop, self.surroundings.state_dir / operator.name, operator.confirm)

    def _infos(self, alert: Alert[M]) -> list[Info]:
        found = [
            next((i for i in alert.info if wanted in {i.language, i.language.partition("-")[0]}), None)
            for wanted in self.settings.languages
        ]
        return list(dict.fromkeys(filter(None, found))) or [alert.info_in("ja")]

    def _findings(self, infos: Sequence[Info], shown: Sequence[Page]) -> Iterator[Finding]:
        drawn = studio(self.settings.fonts)
        if len(shown) > self.settings.longest_loop:
            yield Finding("cable_tv", f"画面が {self.settings.longest_loop} 枚を超えます。文を短くしてください。")
        for info in infos:
            where = f"cable_tv[{info.language}]"
            if info is infos[0] and len(info.event) > LONGEST_EVENT:
                yield Finding(
                    where, f"「{info.event[:40]}」は {LONGEST_EVENT} 字を超え、枠の字が小さくなります。", blocks=False
                )
            if any(len(area.area_desc) > 2 * LONGEST_PLACE for area in info.area):
                yield Finding(where, "地域の名が長く、枠の字が小さくなります。", blocks=False)
            text = "".join(page.words for page in shown if page.head.language == info.language)
            if not forms.is_writable_in_xml(text):
                yield Finding(where, "制御文字は送れません。")
            if beyond := beyond_titler(text):
                yield Finding(
                    where,
                    f"文字スーパーにない字があります（画像には出ます）: {'、'.join(map(named, beyond[:20]))}",
                    blocks=False,
                )
            if missing := [c for c in dict.fromkeys(text) if not drawn.has(c)]:
                yield Finding(where, f"画面に描けない字があります: {'、'.join(map(named, missing[:20]))}", blocks=False)


def drop_name(rendering: Rendering[Any]) -> str:
    """A file name for this very content: the identifier, as far as a file name can hold it, and the rendering's digest."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", rendering.identifier)[:80].strip("_") or "alert"
    return f"{readable}-{rendering.digest[:12]}"


def _files(operator: Operator, rendering: Rendering[Any]) -> Iterator[tuple[str, bytes]]:
    """What this operator takes, by the name under which it is dropped."""
    parts: Mapping[str, bytes] = rendering.by_name
    for name, data in parts.items():
        form = {"pages.xml": Form.XML, "pages.csv": Form.CSV}.get(name) or name.partition("-")[0]
        if form in set(operator.forms):
            is_keyed = form == Form.LSHAPE and operator.picture is Picture.KEY
            yield name, parts[f"key-{name}"] if is_keyed else data


Kind = CableTv
