"""The duty list: who is told by mail when something failed, waits, or was sent by one person alone.

A mail to staff is no alert: it goes through its own small relay setting, never through the registered-mail channel, so that no
page can ever reach a resident and a halted node still pages. It says what happened and where to look, not the alert's text.

Source: issue "mails the duty list"; RFC 5321, RFC 3834 (Auto-Submitted).
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

import aiosmtplib

from config.site import DutyList
from dispatcher.clock import Clock
from dispatcher.log import logger
from dispatcher.model.mode import Mode

WORDS: Mapping[str, str] = {
    "break-glass": "一人で緊急発表しました。事後承認してください (sent by one person alone: confirm it)",
    "waiting": "承認を待っています (waits for an approval)",
    "stale": "提出から10分たちました。承認されていません (waited ten minutes for an approval)",
    "overdue": "約束した次の発表の時刻を過ぎました (the promised update is overdue)",
    "failed": "届けられなかった宛先があります (a medium refused somebody for good)",
    "facilities": "確認していない施設があります。電話してください (facilities have not acknowledged: call them)",
    "intake": "ほかの機関の電文から下書きができました (another agency's telegram has become a draft)",
    "rehearse": "1か月、訓練の送信をしていません (no rehearsal for a month)",
}
TIMEOUT_S = 15.0

log = logger(__name__)


class Duty:
    """Of one node; without a duty list it tells nobody by mail, and the console's alarm alone speaks."""

    def __init__(
        self,
        to: DutyList | None,
        mode: type[Mode],
        node: str,
        clock: Clock,
        agreed: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        """`agreed`: the addresses that two admins have set at the desk; while there are none, those of the site file."""
        self._to = to
        self._agreed = agreed
        self._mode = mode
        self._node = node
        self._clock = clock

    @property
    def name(self) -> str:
        """How the ledger names it: nobody's address."""
        return "mail" if self._to else "console"

    @property
    def is_rehearsing(self) -> bool:
        """Rehearsals are counted where they are held."""
        return self._mode.name == "drill"

    async def tell(self, why: str, subject: str, rung: int, rungs: int) -> bool:
        """One mail to everybody on the list. False where the relay did not take it: logged, and to be tried again."""
        if self._to is None:
            return True
        mail = EmailMessage()
        mail["From"] = self._to.sender
        mail["To"] = ", ".join(await self._agreed() or self._to.to)
        mail["Subject"] = f"[{self._mode.word}] {WORDS[why].split(' (')[0]}"
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = make_msgid(domain=self._to.sender.rpartition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"
        again = f"\n{rung}回目 / {rungs}回 (time {rung} of {rungs})" if rungs > 1 else ""
        mail.set_content(f"{self._mode.word}　{self._node}\n{WORDS[why]}\n{subject}{again}\n{self._to.console}\n")
        try:
            await aiosmtplib.send(
                mail,
                hostname=self._to.host,
                port=self._to.port,
                start_tls=self._to.tls == "starttls",
                use_tls=self._to.tls == "implicit",
                tls_context=ssl.create_default_context(cafile=str(self._to.ca) if self._to.ca else None)
                if self._to.tls != "none"
                else None,
                username=self._to.username,
                password=self._to.password.reveal() if self._to.password else None,
                timeout=TIMEOUT_S,
            )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as failure:
            log.warning("duty.untold", reason=type(failure).__name__)
            return False
        return True
