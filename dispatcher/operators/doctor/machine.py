"""The machine under the node: room on its disks, what kind of disks they are, its ports, its fonts.

Source: proc_pid_mountinfo(5), proc_net(5); SQLite "Write-Ahead Logging" §2 (no network filesystem); statvfs(3).
"""

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from config.operators import Operators
from config.site import Site
from dispatcher.ledgers.beside import file_of
from dispatcher.operators.doctor.finding import Finding, broken, good, mend
from dispatcher.operators.kept import listeners, walk

REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"}
)
"""Filesystems whose locks and shared memory do not hold between machines."""
FORGETFUL = frozenset({"tmpfs", "ramfs"})
LEAST_INODES = 1000
FONT_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
FONTS = ("NotoSansCJK-Bold.ttc", "NotoSansCJK-Regular.ttc")


def disks(state_dir: Path, dsn: str, settings: Operators) -> Iterator[Finding]:
    """The filesystems of the node's state and of its ledger, each once."""
    ledger = file_of(dsn)
    seen: set[int] = set()
    for path in (state_dir, *([ledger.parent] if ledger else [])):
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        if (device := there.stat().st_dev) not in seen:
            seen.add(device)
            yield _disk(there, settings.least_free, holds_ledger=ledger is not None)


def _disk(folder: Path, least_free: int, *, holds_ledger: bool) -> Finding:
    what, about, kind = f"ディスク disk {folder}", os.statvfs(folder), filesystem_of(folder)
    free = about.f_bavail * about.f_frsize
    words = f"空き {free / 1e9:.1f} GB、{kind} (free, filesystem)"
    if about.f_flag & os.ST_RDONLY:
        return broken(
            what, f"読み取り専用です (read-only)、{kind}", "書けるように付け直してください (mount it for writing)"
        )
    if kind in REMOTE and holds_ledger:
        to_do = "この機械のディスクに置くか、PostgreSQL を使ってください (SQLite needs a local disk; or use PostgreSQL)"
        return broken(what, words, to_do)
    if free < least_free:
        return broken(what, words, f"{least_free / 1e9:g} GB 以上あけてください (make room)")
    if kind in FORGETFUL:
        return mend(what, words, "再起動で消えます。ほかのディスクへ (it is gone after a reboot: use another disk)")
    # Some filesystems have no fixed number of them and say 0 of 0.
    if about.f_files and about.f_favail < LEAST_INODES:
        return broken(
            what,
            f"{words}、残り {about.f_favail} ファイル (inodes left)",
            "小さなファイルを減らしてください (remove small files)",
        )
    return good(what, words)


def filesystem_of(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the filesystem that this folder is on."""
    path, best, kind = folder.resolve(), Path("/"), "?"
    try:
        lines = mountinfo.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return kind
    for line in lines:
        before, _, after = line.partition(" - ")
        mounted = Path(_unescaped(before.split(" ")[4]))
        if path.is_relative_to(mounted) and (kind == "?" or mounted.is_relative_to(best)):
            best, kind = mounted, after.split(" ")[0]
    return kind


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def ports(site: Site, *, is_running: bool, pid: int | None) -> Iterator[Finding]:
    """Each address at which the node listens: free before it starts, its own while it runs. `pid` is the node's, if known."""
    for where, host, port in listeners(site):
        what = f"ポート port {host}:{port} ({where})"
        reason = _why_not(host, port)
        if reason == errno.EADDRINUSE:
            owner = owner_of(port)
            is_ours = is_running and (pid is None or owner is None or owner.pid == pid)
            words = f"使用中 (in use): {owner or '別の利用者のプロセス (a process of another user)'}"
            if is_ours:
                yield good(what, words)
            else:
                yield broken(
                    what, words, "それを止めるか、サイトの設定を変えてください (stop it, or change the site file)"
                )
        elif reason == errno.EACCES:
            to_do = "todoke systemd-unit の設定で動かすと開けます (the unit of todoke systemd-unit may open it)"
            yield mend(what, "開く権限がありません (no right to open it)", to_do)
        elif reason:
            yield broken(
                what, os.strerror(reason), "この機械のアドレスを書いてください (name an address of this machine)"
            )
        elif is_running:
            yield broken(
                what,
                "節点は動いているのに、待ち受けていません (the node does not listen there)",
                "節点の記録を見てください (see its log)",
            )
        else:
            yield good(what, "空いています (free)")


def _why_not(host: str, port: int) -> int:
    """Why nobody could listen there now, as errno; 0 if one could."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            line.bind(address)
            line.listen(1)
    except OSError as error:
        return errno.EADDRNOTAVAIL if isinstance(error, socket.gaierror) else error.errno or errno.EIO
    return 0


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


def owner_of(port: int) -> Process | None:
    """Who listens at this TCP port; None if nobody does, or somebody whom this user may not see."""
    inodes = set(_listening(port))
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return Process(int(folder.name), (folder / "comm").read_text(errors="replace").strip())
    return None


def _listening(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{columns[9]}]"


def fonts(site: Site) -> Iterator[Finding]:
    """What draws Japanese on television and on pages for print needs Noto Sans CJK."""
    named = [s.value for s in walk(site.channels) if s.where.endswith(".fonts") and isinstance(s.value, Path)]
    found = {path.name: path for folder in (*named, *FONT_FOLDERS) for path in folder.rglob("NotoSansCJK-*.ttc")}
    missing = [name for name in FONTS if name not in found]
    if missing:
        yield broken(
            "文字 fonts",
            f"{'、'.join(missing)} がありません (missing)",
            "apt-get install fonts-noto-cjk",
        )
    else:
        yield good("文字 fonts", f"Noto Sans CJK: {found[FONTS[0]].parent}")
