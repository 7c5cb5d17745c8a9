"""The mail with the link that opens somebody's own entry: to whoever asked for it, known or not, in the same words.

So nobody learns from it who is registered, and it works for signing up, for a change and for leaving.

Source: RFC 3834 §3.1.5 (the subject), §3.1.8; design.md §7 (languages).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from config.words import language_of

_WORDS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ja": (
            "登録メールの手続き",
            (
                "下のページで、登録・変更・配信の停止ができます（24時間以内）。",
                "{link}",
                "心当たりがないときは、何もしないでください。何も登録されません。",
                "このメールには返信できません。",
            ),
        ),
        "ja-x-easy": (
            "メールの 登録（とうろく）",
            (
                "下（した）の ページで、登録（とうろく）・変更（へんこう）・やめる ことが できます（24時間）。",
                "{link}",
                "知（し）らない ときは、何（なに）も しないで ください。",
            ),
        ),
        "en": (
            "Your mail registration",
            (
                "On this page you can register, change or stop the city’s mail (within 24 hours).",
                "{link}",
                "If you did not ask for this, do nothing: nothing is registered.",
            ),
        ),
        "zh": (
            "邮件登记手续",
            (
                "请在以下页面登记、更改或停止邮件（24小时内有效）。",
                "{link}",
                "如果不是您本人申请的，请不要做任何操作，不会进行登记。",
            ),
        ),
        "ko": (
            "메일 등록 절차",
            (
                "아래 페이지에서 등록·변경·중지를 할 수 있습니다(24시간 이내).",
                "{link}",
                "신청한 적이 없으면 아무것도 하지 마십시오. 등록되지 않습니다.",
            ),
        ),
    }
)


def written(link: str, language: str, city: str, mark: str) -> tuple[str, Sequence[str]]:
    """Subject and lines: the reader's own language first, because of an empty mail none is known. `mark`: the mode's banner."""
    own = language_of(language)
    order = sorted(_WORDS, key=lambda known: known != own)
    subject = f"{mark}{city} {_WORDS[order[0]][0]}"
    lines = [f"{mark}{city}", ""]
    for known in order:
        lines += [line.format(link=link) for line in _WORDS[known][1]]
        lines.append("")
    return subject, lines
