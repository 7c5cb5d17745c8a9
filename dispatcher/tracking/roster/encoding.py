"""Which of the two encodings a city's tools write a file is in: UTF-8 (with or without a mark at its head) or Shift_JIS.

It is recognised, not asked for, because whoever exports a file does not know. A file in which some lines are of one and some of the
other was put together by hand; whatever one made of it, somebody's name would be wrong, so it is refused, line by line.

Source: RFC 3629 §3, §6; Windows code page 932 (what tools mean by Shift_JIS).
"""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from dispatcher.errors import Finding, InvalidInput

LONGEST_LINE_BYTES = 65_536
MOST_BYTES = 512 * 1024 * 1024
MOST_SHOWN = 100
_JAPANESE = "\u3000"
"""From here on a character that was read as UTF-8 is no accident of another encoding."""


def recognise(file: BinaryIO, name: str) -> str:
    """`utf-8-sig` or `cp932`.

    Raises:
        InvalidInput: neither, both at once, a line that is too long, too large a file, or nothing.
    """
    file.seek(0)
    has_mark = file.read(3) == codecs.BOM_UTF8
    no_utf8: list[int] = []
    no_shift_jis: list[int] = []
    utf8_in_japanese: list[int] = []
    number = 0
    for number, line in enumerate(lines(file, name), 1):
        if line.isascii():
            continue
        try:
            if max(line.decode("utf-8-sig" if number == 1 else "utf-8")) >= _JAPANESE:
                utf8_in_japanese.append(number)
        except UnicodeDecodeError:
            no_utf8.append(number)
        try:
            line.decode("cp932")
        except UnicodeDecodeError:
            no_shift_jis.append(number)
    if not number:
        raise InvalidInput([Finding(name, "空のファイルです (the file is empty)")])
    if not no_utf8:
        return "utf-8-sig"
    if has_mark:
        _refuse(
            name, no_utf8, "UTF-8 ではありません。ファイルの先頭の印は UTF-8 です (not UTF-8, as the file's mark says)"
        )
    if utf8_in_japanese:
        few = no_utf8 if len(no_utf8) <= len(utf8_in_japanese) else utf8_in_japanese
        _refuse(name, few, "ほかの行と文字コードが違います (UTF-8 and Shift_JIS in one file: not as the other lines)")
    if no_shift_jis:
        _refuse(name, no_shift_jis, "UTF-8 でも Shift_JIS でもありません (neither UTF-8 nor Shift_JIS)")
    return "cp932"


def lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """From the beginning, each with its end.

    Raises:
        InvalidInput: a line or the file is too long.
    """
    file.seek(0)
    number, size = 0, 0
    while line := file.readline(LONGEST_LINE_BYTES):
        number, size = number + 1, size + len(line)
        if len(line) == LONGEST_LINE_BYTES or size > MOST_BYTES:
            reason = f"行は {LONGEST_LINE_BYTES:,} バイト、ファイルは {MOST_BYTES:,} バイトまで (the line or the file is too long)"
            raise InvalidInput([Finding(f"{name}:{number}", reason)])
        yield line


def _refuse(name: str, numbers: list[int], reason: str) -> None:
    findings = [Finding(f"{name}:{number}", reason) for number in numbers[:MOST_SHOWN]]
    if len(numbers) > MOST_SHOWN:
        findings.append(Finding(name, f"ほかに {len(numbers) - MOST_SHOWN} 行 (more such lines)"))
    raise InvalidInput(findings)
