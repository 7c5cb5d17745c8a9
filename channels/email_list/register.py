"""Who gets registered mail: the city's file, those who signed up themselves, and whoever left or gives mail back.

Two databases in the channel's folder. `subscribers.db` is the index of the file (index.py). `register.db` is what people told us:
their own entry goes before the file's line, whoever left stays out whatever the file says, and only their own link brings them
back. So 100,000 people cost a lookup and no memory.

Source: facts.md §Mail; RFC 8058 §3.2; issue "100,000 recipients stream with flat memory".
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock

from channels.email_list.index import PEOPLE, TOKENS, Index, create, homes_of, row_of
from channels.email_list.subscribers import Subscriber
from channels.email_list.suspension import Fate, Given
from dispatcher.errors import StorageFull
from dispatcher.model.topic import Topic

PAGE = 1_000

_OWN = """
CREATE TABLE IF NOT EXISTS own.gone (address TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS own.given_back (
    address TEXT PRIMARY KEY, fate TEXT NOT NULL, times INTEGER NOT NULL, days INTEGER NOT NULL, last_day TEXT NOT NULL,
    status TEXT NOT NULL, until TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS own.keys (made_with TEXT NOT NULL);
"""
_STILL = """l.address NOT IN (SELECT address FROM own.gone)
 AND coalesce((SELECT until FROM own.given_back AS g WHERE g.address = l.address), '') <= :now"""
_WANTS = "instr(' ' || topics || ' ', ' ' || :topic || ' ')"
_LIVING_IN = """FROM {0}.lives_in AS l WHERE quarter IN (SELECT value FROM json_each(:quarters)) AND {1}
 AND (:topic = '' OR (SELECT {2} FROM {0}.subscriber AS s WHERE s.address = l.address))"""
_NOT_OWN = " AND l.address NOT IN (SELECT address FROM own.subscriber)"
_OF_FILE = _LIVING_IN.format("main", _STILL + _NOT_OWN, _WANTS)
_OF_THEMSELVES = _LIVING_IN.format("own", _STILL, _WANTS)
_COUNT = "SELECT count(DISTINCT address) "
_MEMBERS = "SELECT DISTINCT address {} AND address > :after ORDER BY address LIMIT :limit"
_AMONG = "address IN (SELECT value FROM json_each(:addresses))"
_NO_MORE = """SELECT address FROM own.gone WHERE address IN (SELECT value FROM json_each(:addresses))
 UNION SELECT address FROM own.given_back WHERE address IN (SELECT value FROM json_each(:addresses)) AND until > :now"""
_LANGUAGES = f"""SELECT address, language FROM main.subscriber AS l WHERE {_AMONG} AND {_STILL}
 UNION ALL SELECT address, language FROM own.subscriber AS l WHERE {_AMONG} AND {_STILL}"""  # noqa: S608 - constants alone


class Register:
    """Answers by quarter, by address and by the token of a bounce. Blocks on the disk: call it in a thread."""

    def __init__(self, file: Path, folder: Path, token: Callable[[str], str], now: Callable[[], datetime]) -> None:
        """`token`: what a bounce about an address brings back."""
        self._own = folder / "register.db"
        self._before = folder / "unsubscribed.db"
        self._token = token
        self._now = now
        self._made_with = sha256(token("").encode()).hexdigest()
        self._index = Index(file, folder / "subscribers.db", token, self._made_with)
        self._refreshing = Lock()
        self._is_ready = False

    def refresh(self) -> None:
        """Index the file anew if it has changed since.

        Raises:
            BadSubscribers: it cannot be used; the last good index stays.
            StorageFull: the disk took nothing.
        """
        with self._refreshing, self._room():
            self._index.refresh()

    # -- looking -----------------------------------------------------------------------------------------------------

    def count(self, quarters: Sequence[str], topic: Topic = Topic.EMERGENCY) -> int:
        asked = self._asked(quarters, topic)
        with self._open() as open_:
            return sum(int(open_.execute(_COUNT + of, asked).fetchone()[0]) for of in (_OF_FILE, _OF_THEMSELVES))

    def members(self, quarters: Sequence[str], after: str, limit: int, topic: Topic = Topic.EMERGENCY) -> Sequence[str]:
        """Addresses behind `after`, in their order."""
        asked = {**self._asked(quarters, topic), "after": after, "limit": limit}
        with self._open() as open_:
            found = [row[0] for of in (_OF_FILE, _OF_THEMSELVES) for row in open_.execute(_MEMBERS.format(of), asked)]
        return sorted(found)[:limit]

    def languages(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """The language of each who still gets mail; their own word goes before the file's."""
        asked = {"addresses": json.dumps(addresses), "now": self._now().isoformat()}
        with self._open() as open_:
            return dict(open_.execute(_LANGUAGES, asked).fetchall())

    def no_more(self, addresses: Sequence[str]) -> frozenset[str]:
        """Those of them who left, or whose mail comes back."""
        asked = {"addresses": json.dumps(addresses), "now": self._now().isoformat()}
        with self._open() as open_:
            return frozenset(row[0] for row in open_.execute(_NO_MORE, asked))

    def entry(self, address: str) -> Subscriber | None:
        """What is known of somebody; None of whoever is not on the list or left it."""
        with self._open() as open_:
            if open_.execute("SELECT 1 FROM own.gone WHERE address = ?", (address,)).fetchone():
                return None
            for of in ("own", "main"):
                entries = _entries(open_, of, (address,))
                if entries:
                    return entries[0]
        return None

    def everybody(self) -> Iterator[Subscriber]:
        """All who have not left, in the order of their addresses; suspended or not, because that is this node's own experience."""
        after = ""
        while page := self.members_of_all(after, PAGE):
            with self._open() as open_:
                own = {entry.address: entry for entry in _entries(open_, "own", page)}
                of_file = {entry.address: entry for entry in _entries(open_, "main", page)}
            yield from (entry for address in page if (entry := own.get(address) or of_file.get(address)))
            after = page[-1]

    def gone(self) -> Sequence[str]:
        """Who left, in the order of their addresses."""
        with self._open() as open_:
            return [row[0] for row in open_.execute("SELECT address FROM own.gone ORDER BY address")]

    def members_of_all(self, after: str, limit: int) -> Sequence[str]:
        with self._open() as open_:
            rows = open_.execute(
                "SELECT address FROM (SELECT address FROM main.subscriber WHERE address > :after"
                " UNION SELECT address FROM own.subscriber WHERE address > :after)"
                " WHERE address NOT IN (SELECT address FROM own.gone) ORDER BY address LIMIT :limit",
                {"after": after, "limit": limit},
            )
            return [row[0] for row in rows]

    def whose(self, token: str) -> str | None:
        """The address that a bounce is about, by the token in the address that it came to."""
        with self._open() as open_:
            found = open_.execute(
                "SELECT address FROM own.subscriber WHERE token = :token"
                " UNION SELECT address FROM main.subscriber WHERE token = :token LIMIT 1",
                {"token": token},
            ).fetchone()
        return str(found[0]) if found else None

    def suspended(self) -> Sequence[tuple[str, int]]:
        """How many get no mail, by the reason: for staff, who need no names to see that a domain is against us."""
        with self._open() as open_:
            rows = open_.execute(
                "SELECT fate, count(*) FROM own.given_back WHERE until > ? GROUP BY fate ORDER BY fate",
                (self._now().isoformat(),),
            )
            return [(fate, count) for fate, count in rows]

    # -- writing -----------------------------------------------------------------------------------------------------

    def enrol(self, people: Sequence[Subscriber]) -> None:
        """Their own word: what they choose from now on, and the way back after leaving or bouncing. Durable on return.

        Raises:
            StorageFull: the disk took nothing.
        """
        with self._writing() as own:
            for person in people:
                self._forget(own, person.address)
                own.execute("DELETE FROM own.gone WHERE address = ?", (person.address,))
                own.execute("DELETE FROM own.given_back WHERE address = ?", (person.address,))
                own.execute("INSERT INTO own.subscriber VALUES (?, ?, ?, ?)", row_of(person, self._token))
                own.executemany("INSERT INTO own.lives_in VALUES (?, ?)", homes_of(person))

    def leave(self, address: str) -> None:
        """For good, durable on return. Of who left the address alone is kept, to keep them out. The city's file is not touched.

        Raises:
            StorageFull: the disk took nothing.
        """
        with self._writing() as own:
            self._forget(own, address)
            own.execute("INSERT OR IGNORE INTO own.gone VALUES (?, ?)", (address, self._now().isoformat()))

    def gave_back(self, fates: Sequence[tuple[str, Fate, str]]) -> None:
        """Mail to these addresses came back; (address, fate, the receiver's status). All in one transaction, durable on return.

        Raises:
            StorageFull: the disk took nothing.
        """
        now = self._now()
        with self._writing() as own:
            for address, fate, status in fates:
                row = own.execute(
                    "SELECT fate, times, days, last_day, until FROM own.given_back WHERE address = ?", (address,)
                ).fetchone()
                given = Given.read(row) if row else Given.never()
                after = given.after(fate, now)
                own.execute(
                    "INSERT OR REPLACE INTO own.given_back VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (address, after.fate, after.times, after.days, after.last_day, status, after.until or ""),
                )

    def restore(self, address: str) -> bool:
        """Staff's way back for a suspended address; says whether there was anything to lift."""
        with self._writing() as own:
            return own.execute("DELETE FROM own.given_back WHERE address = ?", (address,)).rowcount > 0

    # -- keeping -----------------------------------------------------------------------------------------------------

    def _asked(self, quarters: Sequence[str], topic: Topic) -> dict[str, object]:
        wanted = "" if topic is Topic.EMERGENCY else topic.value
        return {"quarters": json.dumps(quarters), "topic": wanted, "now": self._now().isoformat()}

    @staticmethod
    def _forget(own: sqlite3.Connection, address: str) -> None:
        own.execute("DELETE FROM own.subscriber WHERE address = ?", (address,))
        own.execute("DELETE FROM own.lives_in WHERE address = ?", (address,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """To look: the index, and what people told us beside it."""
        self._ready()
        with closing(sqlite3.connect(f"file:{self._index.path}?mode=ro", uri=True)) as opened:
            opened.execute("ATTACH ? AS own", (str(self._own),))
            yield opened

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction on what people told us."""
        self._ready()
        with self._room(), closing(self._attached()) as opened:
            opened.execute("BEGIN IMMEDIATE")
            yield opened
            opened.execute("COMMIT")

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StorageFull(f"{self._own.parent}: {error}") from error

    def _attached(self) -> sqlite3.Connection:
        opened = sqlite3.connect(":memory:", isolation_level=None, timeout=10)
        opened.execute("ATTACH ? AS own", (str(self._own),))
        opened.execute("PRAGMA own.journal_mode=WAL")
        opened.execute("PRAGMA own.synchronous=FULL")
        return opened

    def _ready(self) -> None:
        """Once a process: the tables, and the tokens of the current secret."""
        if self._is_ready:
            return
        with self._room(), closing(self._attached()) as own:
            own.execute("BEGIN IMMEDIATE")
            create(own, PEOPLE.format("own.") + _OWN + TOKENS.format("own."))
            if self._before.exists():  # of a version that kept no more than who left
                before = sqlite3.connect(f"file:{self._before}?mode=ro", uri=True)
                with closing(before):
                    left = before.execute("SELECT address, at FROM unsubscribed").fetchall()
                own.executemany("INSERT OR IGNORE INTO own.gone VALUES (?, ?)", left)
            if own.execute("SELECT 1 FROM own.keys WHERE made_with = ?", (self._made_with,)).fetchone() is None:
                own.create_function("token_of", 1, self._token, deterministic=True)
                own.execute("UPDATE own.subscriber SET token = token_of(address)")
                own.execute("DELETE FROM own.keys")
                own.execute("INSERT INTO own.keys VALUES (?)", (self._made_with,))
            own.execute("COMMIT")
        self._before.unlink(missing_ok=True)
        self._own.chmod(0o600)
        self._is_ready = True


def _entries(opened: sqlite3.Connection, of: str, addresses: Sequence[str]) -> list[Subscriber]:
    asked = {"addresses": json.dumps(addresses)}
    homes: dict[str, list[str]] = {}
    for address, quarter in opened.execute(f"SELECT address, quarter FROM {of}.lives_in WHERE {_AMONG}", asked):  # noqa: S608 - constants alone
        homes.setdefault(address, []).append(quarter)
    rows = opened.execute(f"SELECT address, language, topics FROM {of}.subscriber WHERE {_AMONG} ORDER BY 1", asked)  # noqa: S608 - constants alone
    return [Subscriber(a, tuple(homes.get(a, ())), language, tuple(topics.split())) for a, language, topics in rows]
