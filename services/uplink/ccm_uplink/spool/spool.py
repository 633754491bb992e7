"""The outbox of files: what was accepted is on disk, becomes a file once, and waits there until it was sent.

Blocking; one thread at a time. `accept` makes messages safe, `cut` makes a file of them. After a crash at any point
each message is in exactly one file, and a file has one name for ever:

1. the next journal is drafted, 2. the file is written and named, 3. what was accepted is remembered, 4. the next
journal takes its place, 5. the old one goes. A cut that broke off after 2 is finished before anything else is done.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ccm_uplink.formats.files import FileOptions, content_of
from ccm_uplink.formats.names import file_name, named
from ccm_uplink.spool.disk import DRAFT, draft_of, publish, sync_directory, write_draft, write_whole
from ccm_uplink.spool.journal import Journal
from ccm_uplink.spool.seen import Seen

MIB: Final = 1024 * 1024
MOST_SPOOL_MB: Final = 512
"""Journal and files together. At the bound nothing more is accepted: messages stay in the stream, which has its own."""
MOST_JOURNAL_BYTES: Final = 8 * MIB
"""A journal that is longer becomes a file before its period ends."""


class SpoolFullError(Exception):
    """Files wait for the server up to the bound."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A finished file; `end` is when it was made."""

    path: Path
    size: int
    sequence: int
    end: datetime

    @property
    def name(self) -> str:
        return self.path.name


class Spool:
    """Files of `directory`; made when it is not there."""

    def __init__(self, directory: Path, *, now: datetime, most_bytes: int = MOST_SPOOL_MB * MIB) -> None:
        """Raises `OSError`."""
        self._directory = directory
        self._files = directory / "files"
        self._files.mkdir(parents=True, exist_ok=True)
        self._most_bytes = most_bytes
        self._waiting = {found.sequence: found for path in self._files.iterdir() if (found := _file(path))}
        self._seen = Seen()
        self._seen.load(self._seen_path)
        self._journal = self._recovered(now)
        self._seen.add(self._journal.lines())
        self._unfinished = self._waiting.get(self._journal.sequence)
        self.settle()

    @property
    def _seen_path(self) -> Path:
        return self._directory / "seen"

    @property
    def began(self) -> datetime:
        """Begin of the period that is being collected."""
        return self._journal.began

    @property
    def collecting_bytes(self) -> int:
        return self._journal.size

    @property
    def is_long(self) -> bool:
        """Whether a file is to be made now, whatever the schedule says."""
        return self._journal.size >= MOST_JOURNAL_BYTES

    def waiting(self) -> list[Waiting]:
        """The files to send, oldest first."""
        hidden = self._unfinished
        return [file for _, file in sorted(self._waiting.items()) if file is not hidden]

    def accept(self, lines: list[bytes]) -> None:
        """Messages as JSON texts, safe on disk when this returns. Raises `OSError` and `SpoolFullError`."""
        self.settle()
        fresh = self._seen.new_of(lines)
        held = self._journal.size + sum(file.size for file in self._waiting.values())
        if fresh and held + sum(map(len, fresh)) > self._most_bytes:
            raise SpoolFullError
        if fresh:
            self._journal.append(fresh)
            self._seen.add(fresh)

    def cut(self, end: datetime, options: FileOptions, until: datetime | None = None) -> Waiting | None:
        """Make a file of what was accepted, named after `end`; None when there is nothing. Raises `OSError`.

        With a latency, of the periods that were over at `until`.
        """
        self.settle()
        journal = self._journal
        content = content_of(journal.lines, options, until or end)
        if content is None:
            journal.begin_again(end)
            return None
        following = Journal.path_of(self._directory, journal.sequence + 1, end)
        write_draft(following, (line + b"\n" for line in content.carry))
        sync_directory(self._directory)
        path = self._files / file_name(options.gateway, end, options.zone, journal.sequence, options.kind)
        size = write_whole(path, (piece.encode() for piece in content.pieces))
        made = Waiting(path, size, journal.sequence, end)
        self._waiting[made.sequence] = self._unfinished = made
        self.settle()
        return made

    def begin_again(self, moment: datetime) -> None:
        """The period that is being collected begins at `moment`. Raises `OSError`."""
        self._journal.begin_again(moment)

    def settle(self) -> None:
        """Finish a cut whose file is there already. Raises `OSError`, and is to be tried again."""
        made = self._unfinished
        if made is None:
            return
        self._seen.save(self._seen_path)
        path = Journal.path_of(self._directory, made.sequence + 1, made.end)
        if draft_of(path).exists():
            publish(path)
        elif not path.exists():
            write_whole(path, [])
        old, self._journal = self._journal, Journal(path)
        self._unfinished = None
        old.close()
        old.path.unlink()
        sync_directory(self._directory)

    def remove(self, file: Waiting) -> None:
        """It was sent. Raises `OSError`."""
        file.path.unlink(missing_ok=True)
        sync_directory(self._files)
        self._waiting.pop(file.sequence, None)

    def close(self) -> None:
        self._journal.close()

    def _recovered(self, now: datetime) -> Journal:
        """The newest journal; older ones became files, or they would not have a successor."""
        for draft in self._files.glob(f"*{DRAFT}"):
            draft.unlink()
        found = Journal.found(self._directory)
        for old in found[:-1]:
            old.unlink()
        if found:
            return Journal(found[-1])
        first = max(self._waiting, default=0) + 1
        path = Journal.path_of(self._directory, first, now)
        write_whole(path, [])
        return Journal(path)


def _file(path: Path) -> Waiting | None:
    told = named(path.name)
    return Waiting(path, path.stat().st_size, told.sequence, told.end) if told else None
