"""The member directory: published profiles, their tags and whom they are related to (FACTS 4)."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from heapq import nsmallest

import orjson

from bff.sandbox.model import Coworker, Thread
from bff.sandbox.seed import SOCIAL
from bff.sandbox.world import UnknownCoworker, World

RELATED_MAX = 12
THREADS_MAX = 3
PAGE_SIZE, PAGE_SIZE_MAX = 25, 100


class NotPublished(LookupError):
    """The directory has no profile with this id."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a directory page is asked for; `page` from 1, `size` up to 100."""

    query: str = ""
    tag: str = ""
    page: int = 1
    size: int = PAGE_SIZE


@dataclass(frozen=True, slots=True)
class _Index:
    revision: int
    by_name: tuple[Coworker, ...]
    by_tag: dict[str, list[int]]
    threads_by_tag: dict[str, list[Thread]]
    related: dict[int, bytes]


class Directory:
    """Reads of the directory. The index and ready bodies last until a published field changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: _Index | None = None

    def listing(self, asked: Listing) -> dict[str, object]:
        """An `ApiListResult` of published profiles, by name."""
        query, tag = asked.query.strip().casefold(), asked.tag.strip().casefold()
        found = [
            coworker
            for coworker in self._index().by_name
            if (not query or query in _searchable(coworker))
            and (not tag or tag in (each.casefold() for each in coworker.tags))
        ]
        start = (asked.page - 1) * asked.size
        shown = found[start : start + asked.size]
        pages = -(-len(found) // asked.size)
        return {
            "Records": [self._record(coworker) for coworker in shown],
            "CurrentPageSize": asked.size,
            "CurrentPage": asked.page,
            "CurrentOrderField": "FullName",
            "CurrentSortDirection": "ASC",
            "FirstItem": start + 1 if shown else 0,
            "HasNextPage": asked.page < pages,
            "HasPreviousPage": asked.page > 1,
            "LastItem": start + len(shown) if shown else 0,
            "PageNumber": asked.page,
            "PageSize": asked.size,
            "TotalItems": len(found),
            "TotalPages": pages,
        }

    def one(self, coworker_id: int) -> dict[str, object]:
        """`{Coworker}`. Raises NotPublished."""
        coworker = self._published(coworker_id)
        links = {name: coworker.core[name] for name in SOCIAL}
        return {"Coworker": {**self._card(coworker), **links}}

    def related(self, coworker_id: int) -> dict[str, object]:
        """`{RelatedProfiles, Threads}` by shared tags. Raises NotPublished."""
        source, index = self._published(coworker_id), self._index()
        ids = {each for tag in source.tags for each in index.by_tag[tag.casefold()]}
        threads = [
            thread
            for tag in source.tags
            for thread in index.threads_by_tag.get(tag.casefold(), ())
            if thread.author_id != source.id
        ]
        return {
            "RelatedProfiles": [
                self._related_card(self._world.coworker(each))
                for each in nsmallest(RELATED_MAX, ids - {source.id})
            ],
            "Threads": [self._thread(thread) for thread in threads[:THREADS_MAX]],
        }

    def related_body(self, coworker_id: int) -> bytes:
        """The same document as JSON bytes."""
        ready = self._index().related
        body = ready.get(coworker_id)
        if body is None:
            body = ready[coworker_id] = orjson.dumps(self.related(coworker_id))
        return body

    def related_for(self, coworker_id: int, viewer_id: int) -> dict[str, object]:
        """The same document with one more thread, which only this viewer is shown."""
        document = self.related(coworker_id)
        seen = document["Threads"]
        assert isinstance(seen, list)
        private = Thread(
            id=9_000_000 + viewer_id,
            author_id=coworker_id,
            tag="",
            subject=f"Only for user {viewer_id}",
            created_on="2026-01-01T00:00:00Z",
            replies=0,
        )
        return {**document, "Threads": [*seen, self._thread(private)]}

    def meta(self) -> dict[str, object]:
        """The directory's settings and the tags in use, most used first."""
        published = self._index().by_name
        uses = Counter(tag for coworker in published for tag in coworker.tags)
        tags = [
            {
                "Tag": tag,
                "Count": uses[tag],
                "Percentage": round(100 * uses[tag] / len(published), 2),
            }
            for tag in sorted(uses, key=lambda each: (-uses[each], each))
        ]
        return {
            "Meta": {
                "DirectoryEnabled": True,
                "DirectoryContents": 1,
                "DirectoryRecords": 1,
                "OnlyInvoicingSpace": False,
                "ShowCheckInMembers": True,
                "Tags": tags,
            }
        }

    def _index(self) -> _Index:
        kept = self._kept
        if kept is None or kept.revision != self._world.directory_revision:
            kept = self._kept = self._indexed()
        return kept

    def _indexed(self) -> _Index:
        published = [coworker for coworker in self._world.coworkers() if coworker.published]
        by_tag: dict[str, list[int]] = defaultdict(list)
        for coworker in published:
            for tag in coworker.tags:
                by_tag[tag.casefold()].append(coworker.id)
        shown = {coworker.id for coworker in published}
        threads_by_tag: dict[str, list[Thread]] = defaultdict(list)
        for thread in self._world.threads:
            if thread.author_id in shown:
                threads_by_tag[thread.tag.casefold()].append(thread)
        return _Index(
            revision=self._world.directory_revision,
            by_name=tuple(
                sorted(published, key=lambda each: (str(each.core["FullName"]), each.id))
            ),
            by_tag=by_tag,
            threads_by_tag=threads_by_tag,
            related={},
        )

    def _published(self, coworker_id: int) -> Coworker:
        try:
            coworker = self._world.coworker(coworker_id)
        except UnknownCoworker:
            raise NotPublished(coworker_id) from None
        if not coworker.published:
            raise NotPublished(coworker_id)
        return coworker

    def _avatar(self, coworker_id: int) -> str:
        return f"{self._world.business.origin}/media/coworker/{coworker_id}/avatar"

    def _card(self, coworker: Coworker) -> dict[str, object]:
        core = coworker.core
        leading = ("Id", "UniqueId", "FullName", "GuessedFirstName")
        trailing = ("Position", "CompanyName", "BusinessArea", "ProfileSummary", "ProfileWebsite")
        return {
            **{name: core[name] for name in leading},
            "AvatarUrl": self._avatar(coworker.id),
            **{name: core[name] for name in trailing},
            "ProfileTagsList": coworker.tags,
        }

    def _record(self, coworker: Coworker) -> dict[str, object]:
        return {**self._card(coworker), "InvoicingSpaceName": self._world.business.name}

    def _related_card(self, coworker: Coworker) -> dict[str, object]:
        core = coworker.core
        return {
            "Id": coworker.id,
            "FullName": core["FullName"],
            "AvatarUrl": self._avatar(coworker.id),
            "GuessedFirstName": core["GuessedFirstName"],
            "Position": core["Position"],
            "CompanyName": core["CompanyName"],
            "ProfileTagsList": coworker.tags,
        }

    def _thread(self, thread: Thread) -> dict[str, object]:
        author = self._world.coworker(thread.author_id)
        return {
            "Id": thread.id,
            "Subject": thread.subject,
            "CommunityGroupName": thread.tag or None,
            "CreatedOn": thread.created_on,
            "Replies": thread.replies,
            "Author": {"Id": author.id, "FullName": author.core["FullName"]},
        }


def _searchable(coworker: Coworker) -> str:
    parts = (coworker.core[name] for name in ("FullName", "CompanyName", "Position"))
    return "\n".join(str(part).casefold() for part in parts if part)
