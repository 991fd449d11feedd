"""Recompute the chain, and name the first entry that is not what it was.

Each partition is read once, in order. An entry is as it was when its hash is
that of its fields, and its ``previous_hash`` that of the entry in front of it.
Where one of the two fails, the neighbours tell what happened:

    its number is not the next one              the one that should stand here is missing
    its hash fits its fields at another place   it was moved, or others around it were
    its successor leaves it out                 it was put in
    its successor names another hash for it     it was altered, and its hash made to fit
    nothing of this                             it was altered

What a chain cannot tell, since it would be as good as before, checkpoints do:
that it ends too early, and that it was written anew from some entry on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from modules.audit.entries import COLUMNS, GENESIS, digest
from modules.audit.partitions import list_months, table_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    import asyncpg

    from modules.audit.checkpoints import Checkpoint, Signer

Kind: TypeAlias = Literal[
    "altered", "missing", "reordered", "inserted", "truncated", "rewritten", "checkpoint"
]
PREFETCH: Final = 2000

_READ: Final = ", ".join(
    f"{column}::text as {column}" if column in ("before", "after") else column for column in COLUMNS
)


class Fault(Struct, frozen=True, kw_only=True):
    """The first thing that is not as it was.

    Attributes:
        kind: What happened to it.
        partition: The month.
        sequence: The entry's number in it.
        id: The entry's id, where there is one.
        message: All this for a person.
    """

    kind: Kind
    partition: str
    sequence: int
    message: str
    id: str | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of a verification.

    Attributes:
        ok: Whether everything is as it was.
        entries: How many were read, up to the fault.
        partitions: The months that were read.
        checkpoints: How many checkpoints were compared with the chain.
        fault: What was found first, in the order of the log.
    """

    ok: bool
    entries: int
    partitions: tuple[str, ...]
    checkpoints: int
    fault: Fault | None = None


class Verification:
    """One reading of the log, in one snapshot.

    Args:
        connection: In a transaction of the isolation level repeatable read.
        signer: Says which checkpoints count.
        checkpoints: Of the database and of the files.
    """

    def __init__(
        self, connection: asyncpg.Connection, signer: Signer, checkpoints: Sequence[Checkpoint]
    ) -> None:
        self._connection = connection
        self._signer = signer
        self._checkpoints = checkpoints
        self._entries = 0

    async def run(self, partition: str | None = None) -> Verdict:
        """Read everything, or one month and whether it follows the one before.

        Raises:
            ValueError: There is no such month.
        """
        months = await list_months(self._connection)
        if partition is not None and partition not in months:
            raise ValueError(f"there is no partition {partition}; there are {', '.join(months)}")
        wanted = [month for month in months if partition in (None, month)]
        fault = self._signatures()
        if fault is None:
            fault = await self._read_all(months, wanted) or self._gone(months, partition)
        return Verdict(
            ok=fault is None,
            entries=self._entries,
            partitions=tuple(wanted),
            checkpoints=len(self._checkpoints),
            fault=fault,
        )

    def _signatures(self) -> Fault | None:
        for checkpoint in self._checkpoints:
            if (reason := self._signer.fault(checkpoint)) is not None:
                return Fault(
                    kind="checkpoint",
                    partition=checkpoint.partition,
                    sequence=checkpoint.sequence,
                    message=f"a checkpoint of entry {checkpoint.sequence} of {checkpoint.partition} "
                    f"does not count: {reason}",
                )
        return None

    async def _read_all(self, months: Sequence[str], wanted: Sequence[str]) -> Fault | None:
        before = await self._end_before(months, wanted[0]) if wanted else None
        for month in wanted:
            reading = Reading(self._connection, month, before, self._of(month))
            fault = await reading.run()
            self._entries += reading.entries
            if fault is not None:
                return fault
            before = reading.end
        return None

    async def _end_before(self, months: Sequence[str], month: str) -> End | None:
        """Return the end of what lies in front of a month; None when nobody knows."""
        for earlier in reversed([each for each in months if each < month]):
            row = await self._connection.fetchrow(
                f"select sequence, hash from {table_of(earlier)} order by sequence desc limit 1"  # noqa: S608
            )
            if row is not None:
                return End(earlier, row["sequence"], row["hash"])
        retired = [each for each in self._checkpoints if each.partition < month]
        if not retired:
            return End("", 0, GENESIS)
        last = max(retired, key=lambda each: (each.partition, each.sequence))
        return End(last.partition, last.sequence, bytes.fromhex(last.hash), is_retired=last.is_retired)

    def _of(self, month: str) -> Sequence[Checkpoint]:
        return [checkpoint for checkpoint in self._checkpoints if checkpoint.partition == month]

    def _gone(self, months: Sequence[str], partition: str | None) -> Fault | None:
        """Find a month that had entries, was not let go, and is not there."""
        retired = {each.partition for each in self._checkpoints if each.is_retired}
        for checkpoint in sorted(self._checkpoints, key=lambda each: (each.partition, each.sequence)):
            month = checkpoint.partition
            if month not in months and month not in retired and partition in (None, month):
                return Fault(
                    kind="missing",
                    partition=month,
                    sequence=1,
                    message=f"the whole partition {month} is missing; a checkpoint of "
                    f"{checkpoint.made_at:%Y-%m-%d %H:%M} UTC knew {checkpoint.sequence} entries of it",
                )
        return None


class End(Struct, frozen=True):
    """The last entry in front of the one that is looked at."""

    partition: str
    sequence: int
    hash: bytes
    is_retired: bool = False
    previous_hash: bytes = b""


class Reading:
    """One partition.

    Args:
        connection: As `Verification` has it.
        month: The partition.
        before: The end of the chain in front of it.
        checkpoints: Of this partition.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        month: str,
        before: End | None,
        checkpoints: Iterable[Checkpoint],
    ) -> None:
        self._connection = connection
        self._month = month
        self._before = before or End("", 0, GENESIS)
        self._signed: dict[int, list[Checkpoint]] = {}
        for checkpoint in checkpoints:
            self._signed.setdefault(checkpoint.sequence, []).append(checkpoint)
        self._agreed = 0
        self.entries = 0
        self.end = self._before

    async def run(self) -> Fault | None:
        """Return the first fault, or None; `end` is then the last entry."""
        window: list[Any] = []
        async for row in self._rows():
            window.append(row)
            if len(window) < 2:  # noqa: PLR2004 an entry is judged with its successor in view
                continue
            if (fault := await self._judge(window.pop(0), row)) is not None:
                return fault
        if window and (fault := await self._judge(window[0], None)) is not None:
            return fault
        return self._cut_short()

    async def _rows(self) -> AsyncIterator[Any]:
        query = f"select {_READ} from {table_of(self._month)} order by sequence"  # noqa: S608 a checked name
        async for row in self._connection.cursor(query, prefetch=PREFETCH):
            yield row

    async def _judge(self, row: Mapping[str, Any], following: Mapping[str, Any] | None) -> Fault | None:
        self.entries += 1
        expected = self.end.sequence + 1 if self.end.partition == self._month else 1
        sequence, recorded = row["sequence"], digest(self._month, row, row["previous_hash"])
        if sequence == expected and recorded == row["hash"] and row["previous_hash"] == self.end.hash:
            if following is not None and self._blames(row, following):
                return self._fault(
                    "altered", row, "its hash was made to fit, but its successor names another one"
                )
            self.end = End(self._month, sequence, row["hash"], previous_hash=row["previous_hash"])
            return self._against_checkpoints(row)
        if sequence != expected:
            return self._missing(expected, f"entry {sequence} follows entry {expected - 1}")
        return await self._explain(row, following, fits=recorded == row["hash"])

    def _blames(self, row: Mapping[str, Any], following: Mapping[str, Any]) -> bool:
        """Say whether the successor is itself whole, and was chained to something else than ``row``."""
        if following["sequence"] != row["sequence"] + 1 or following["previous_hash"] == row["hash"]:
            return False
        whole: bool = digest(self._month, following, following["previous_hash"]) == following["hash"]
        is_other: bool = following["previous_hash"] != self.end.hash
        return whole and is_other

    async def _explain(
        self, row: Mapping[str, Any], following: Mapping[str, Any] | None, *, fits: bool
    ) -> Fault:
        sequence: int = row["sequence"]
        if fits:
            return self._unlinked(row)
        place = await self._place_of(row)
        if place is None:
            return self._foreign(row, following)
        if place > sequence:
            if place == sequence + 1 and (following is None or following["previous_hash"] == row["hash"]):
                return self._missing(sequence, f"those behind it were moved up, entry {place} to its place")
            return self._fault("reordered", row, f"what stands here was recorded as entry {place}")
        if row["previous_hash"] == self.end.previous_hash and row["hash"] != self.end.hash:
            return self._inserted(sequence - 1, "the entry behind it was recorded in its place")
        return self._inserted(sequence, f"it is a copy of entry {place}", row)

    def _foreign(self, row: Mapping[str, Any], following: Mapping[str, Any] | None) -> Fault:
        """Explain an entry whose hash fits its fields nowhere."""
        if following is not None and following["previous_hash"] == self.end.hash:
            why = "its successor was chained to the entry in front of it"
            return self._inserted(row["sequence"], why, row)
        return self._fault("altered", row, "its fields do not have the hash that was recorded")

    def _unlinked(self, row: Mapping[str, Any]) -> Fault:
        """Explain an entry that is whole and does not follow the one in front of it."""
        if self.end.partition not in ("", self._month) and not self.end.is_retired:
            return Fault(
                kind="truncated",
                partition=self.end.partition,
                sequence=self.end.sequence + 1,
                message=f"{self.end.partition} ends with entry {self.end.sequence}, and the first entry of "
                f"{self._month} was chained to another one: entries are missing from entry "
                f"{self.end.sequence + 1} on, or the last one was altered",
            )
        if row["sequence"] == 1 and self.end.partition != self._month:
            return self._fault("missing", row, "it was chained to entries of earlier months, which are gone")
        return self._fault("reordered", row, "it was not recorded behind the entry in front of it")

    async def _place_of(self, row: Mapping[str, Any]) -> int | None:
        """Return the number that an entry had when its hash was made; None when it had none here."""
        neighbours: set[int] = {row["sequence"] - 1, row["sequence"] + 1}
        query = f"select sequence from {table_of(self._month)} where hash = $1"  # noqa: S608 a checked name
        for found in await self._connection.fetch(query, row["previous_hash"]):
            neighbours |= {found["sequence"], found["sequence"] + 1}
        neighbours |= await self._numbers_beside(row)
        for place in sorted(neighbours - {row["sequence"]}):
            if digest(self._month, {**row, "sequence": place}, row["previous_hash"]) == row["hash"]:
                return place
        return None

    async def _numbers_beside(self, row: Mapping[str, Any]) -> set[int]:
        """Return where the successor that was chained to ``row`` says that ``row`` was."""
        query = f"select sequence from {table_of(self._month)} where previous_hash = $1"  # noqa: S608 as above
        found = await self._connection.fetch(query, row["hash"])
        return {number for each in found for number in (each["sequence"], each["sequence"] - 1)}

    def _against_checkpoints(self, row: Mapping[str, Any]) -> Fault | None:
        for checkpoint in self._signed.get(row["sequence"], ()):
            if checkpoint.hash != row["hash"].hex():
                return Fault(
                    kind="rewritten",
                    partition=self._month,
                    sequence=self._agreed + 1,
                    message=f"the chain of {self._month} was written anew: entry {row['sequence']} is not "
                    f"the one that was signed at {checkpoint.made_at:%Y-%m-%d %H:%M:%S} UTC; the first entry "
                    f"that changed is one of {self._agreed + 1} to {row['sequence']}",
                )
            self._agreed = row["sequence"]
        return None

    def _cut_short(self) -> Fault | None:
        last = self.end.sequence if self.end.partition == self._month else 0
        furthest = self._signed[max(self._signed)][0] if self._signed else None
        if furthest is None or furthest.sequence <= last:
            return None
        return Fault(
            kind="truncated",
            partition=self._month,
            sequence=last + 1,
            message=f"{self._month} ends with entry {last}, and had {furthest.sequence} at "
            f"{furthest.made_at:%Y-%m-%d %H:%M:%S} UTC: everything from entry {last + 1} on is missing",
        )

    def _inserted(self, sequence: int, why: str, row: Mapping[str, Any] | None = None) -> Fault:
        return Fault(
            kind="inserted",
            partition=self._month,
            sequence=sequence,
            id=None if row is None else str(row["id"]),
            message=f"entry {sequence} of {self._month} was put in: {why}",
        )

    def _missing(self, sequence: int, why: str) -> Fault:
        message = f"entry {sequence} of {self._month} is missing: {why}"
        return Fault(kind="missing", partition=self._month, sequence=sequence, message=message)

    def _fault(self, kind: Kind, row: Mapping[str, Any], why: str) -> Fault:
        sequence = row["sequence"]
        return Fault(
            kind=kind,
            partition=self._month,
            sequence=sequence,
            id=str(row["id"]),
            message=f"entry {sequence} of {self._month} ({row['id']}) {_WORDS[kind]}: {why}",
        )


_WORDS: Final[Mapping[Kind, str]] = {
    "altered": "was altered",
    "reordered": "is not in its place",
    "missing": "has lost what was in front of it",
}
