"""What S3 can do beyond any store: multipart uploads, copies on its side, create-once."""

from __future__ import annotations

import errno
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from daskrun.core.typing import override
from daskrun.errors import StorageError
from daskrun.storage.publication import Publication
from daskrun.storage.url_folder import BLOCK, READS, UrlFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daskrun.storage.publication import Range
    from daskrun.storage.urls import StorageOptions

Answer: TypeAlias = dict[str, Any]
"""What S3 answers, or arguments of a request, under the names that its API has for them."""
SMALLEST_PIECE = 5 * 2**20
"""Bytes that each piece of a multipart upload must have, but for the last (S3's rule)."""
MOST_PIECES = 10_000
"""Pieces a multipart upload may have (S3's rule)."""
MOST_DELETED = 1000
"""Objects that one request may delete (S3's rule)."""
MARK = "daskrun-publication"
"""Metadata by which an object is known as this publication's, where an answer was lost."""


def piece_size(number: int) -> int:
    """Return how many bytes piece ``number`` should have at least.

    They grow, since how large the whole will be is not known when it begins: 8 MiB, doubled every
    1,000 pieces up to 1 GiB, so that 10,000 pieces hold 4 TB.
    """
    return BLOCK << min(number // 1000, 7)


class S3Folder(UrlFolder):
    """A folder in a bucket."""

    def __init__(self, url: str, options: StorageOptions) -> None:
        super().__init__(url, options)
        if not hasattr(self.system, "call_s3"):
            raise StorageError(f"can't open {self.shown()}: its file system is not s3fs")

    def call(self, method: str, name: str, **arguments: Any) -> Answer:
        """Send one request for an object."""
        bucket, key = self.address(name)
        answer: Answer = self.system.call_s3(method, Bucket=bucket, Key=key, **arguments)
        return answer

    def address(self, name: str) -> tuple[str, str]:
        """Return the bucket and key of a name."""
        bucket, key, _ = self.system.split_path(self.path(name))
        return str(bucket), str(key)

    @override
    def publication(self, name: str, note: str = "") -> Publication:
        return Multipart(self, name, note)

    @override
    def halt(self, name: str, note: str) -> None:
        self.forget_begun(name, note)

    @override
    def forget_begun(self, name: str, note: str) -> None:
        if self.exists(note):
            Multipart(self, name, note).abort_noted()
            self.delete([note])

    @override
    def forget(self, below: str) -> None:
        super().forget(below)
        bucket, key = self.address(f"{below}/")
        # Not all who may write may list these; S3 can be told to drop them after some days.
        with suppress(Exception):
            found = self.system.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
            for upload in found.get("Uploads", ()):
                name, number = upload["Key"], upload["UploadId"]
                self.system.call_s3(
                    "abort_multipart_upload", Bucket=bucket, Key=name, UploadId=number
                )

    @override
    def published(self, name: str, mark: str) -> bool:
        what = f"look at {self.shown(name)}"
        try:
            return self.retry(what, lambda: self.has_mark(name, mark), plain=True)
        except FileNotFoundError:
            return False

    def has_mark(self, name: str, mark: str) -> bool:
        """Ask once for the mark among an object's metadata."""
        found = self.call("head_object", name).get("Metadata", {})
        return bool(found.get(MARK) == mark)

    @override
    def etag(self, name: str) -> str:
        what = f"look at {self.shown(name)}"
        try:
            return self.retry(what, lambda: _etag(self.call("head_object", name)), plain=True)
        except FileNotFoundError:
            return ""

    @override
    def _put(self, name: str, data: bytes) -> str:
        return _etag(self.call("put_object", name, Body=data))

    @override
    def _create(self, name: str, data: bytes, mark: str) -> None:
        try:
            self.call("put_object", name, Body=data, Metadata={MARK: mark}, IfNoneMatch="*")
        except OSError as error:
            if not _is_taken(error):
                raise
            # S3 may have done it and not been heard: then the next try meets it.
            if not self.has_mark(name, mark):
                raise FileExistsError(self.shown(name)) from error

    @override
    def _read(self, ranges: Sequence[Range]) -> list[Any]:
        names, starts, stops = zip(*ranges, strict=True)
        paths = [self.path(name) for name in names]
        found = self.system.cat_ranges(
            paths, list(starts), list(stops), batch_size=READS, on_error="return"
        )
        return list(found)

    @override
    def _exists(self, name: str) -> bool:
        try:
            self.call("head_object", name)
        except FileNotFoundError:
            return False
        return True

    @override
    def _delete(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), MOST_DELETED):
            addresses = [self.address(name) for name in names[start : start + MOST_DELETED]]
            gone = {"Objects": [{"Key": key} for _, key in addresses], "Quiet": True}
            answer = self.system.call_s3("delete_objects", Bucket=addresses[0][0], Delete=gone)
            for error in answer.get("Errors", ()):
                raise OSError(f"{error.get('Key')}: {error.get('Code')} {error.get('Message')}")
        self.system.invalidate_cache()


def _etag(answer: Answer) -> str:
    return str(answer.get("ETag") or "").strip('"')  # some stores leave the quotes out


def _is_taken(error: BaseException | None) -> bool:
    """Return whether S3 refused to create an object because there is one of its name."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return bool(response.get("Error", {}).get("Code") == "PreconditionFailed")
        error = error.__cause__
    return False


class Multipart(Publication):
    """A multipart upload; an object of one small piece that nobody notes is put in one request.

    One that is noted can be kept from appearing until it has: see :meth:`S3Folder.halt`.
    ``folder``, ``name``: what is made. ``note``: object that the upload's id is kept in while it
    goes on, ``""`` for none. An upload that is noted there was left by a driver that was killed,
    and is aborted first.
    """

    ordered = False
    copies = True
    smallest = SMALLEST_PIECE

    def __init__(self, folder: S3Folder, name: str, note: str = "") -> None:
        self._folder = folder
        self._name = name
        self._note = note
        self._what = f"write {folder.shown(name)}"
        self.mark = secrets.token_hex(16)
        self._metadata = {MARK: self.mark}
        self._lock = threading.Lock()
        self._upload = ""
        self._first: bytes | None = None
        """Piece 0, until it is known that there are more."""
        self._tags: dict[int, str] = {}
        self.etag = ""

    @override
    def write(self, number: int, data: bytes) -> None:
        if number == 0 and len(data) <= (0 if self._note else 2 * BLOCK):
            with self._lock:
                if not self._upload:
                    self._first = data
                    return
        self._put(number, data)

    @override
    def copy(self, number: int, source: Range) -> None:
        folder = self._folder
        name, start, stop = source
        bucket, key = folder.address(name)
        arguments = {
            **self._piece(number),
            "CopySource": {"Bucket": bucket, "Key": key},
            "CopySourceRange": f"bytes={start}-{stop - 1}",
        }
        what = f"copy {folder.shown(name)} to {folder.shown(self._name)}"

        def ask() -> str:
            try:
                answer = folder.call("upload_part_copy", self._name, **arguments)
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
                return ""
            return str(answer["CopyPartResult"]["ETag"])

        tag = folder.retry(what, ask)
        if tag:
            self._tags[number] = tag
        else:  # some stores that speak S3 have no copies of ranges
            self._put(number, folder.read([source])[0])

    @override
    def commit(self, overwrite: bool) -> None:
        folder, name = self._folder, self._name
        if not overwrite and folder.exists(name):
            raise FileExistsError(folder.shown(name))
        # Without `overwrite` S3 holds against the name at the last moment too.
        guard = {} if overwrite else {"IfNoneMatch": "*"}
        if not self._upload:
            body = self._first or b""
            self.etag = self._conclude("put_object", guard, Body=body, Metadata=self._metadata)
            self._first = None
            return
        pieces = [{"PartNumber": n + 1, "ETag": self._tags[n]} for n in sorted(self._tags)]
        if len(pieces) > MOST_PIECES:
            raise StorageError(
                f"can't {self._what}: it has {len(pieces):,} pieces, S3 allows {MOST_PIECES:,}"
            )
        self.etag = self._conclude(
            "complete_multipart_upload",
            guard,
            UploadId=self._upload,
            MultipartUpload={"Parts": pieces},
        )
        self._upload = ""

    @override
    def abort(self) -> None:
        self._first = None
        if not self._upload:
            return
        upload, self._upload = self._upload, ""
        self._abort(upload)
        if self._note:
            self._folder.delete([self._note])

    def abort_noted(self) -> None:
        """Have S3 forget the upload of a process that was killed."""
        folder = self._folder
        size = int(folder.call("head_object", self._note)["ContentLength"])
        self._abort(folder.read([(self._note, 0, size)])[0].decode())

    def _abort(self, upload: str) -> None:
        folder = self._folder
        # FileNotFoundError: it is completed or forgotten already
        with suppress(FileNotFoundError):
            call = folder.call
            what = f"abort the upload of {folder.shown(self._name)}"
            folder.retry(
                what,
                lambda: call("abort_multipart_upload", self._name, UploadId=upload),
                plain=True,
            )

    def _put(self, number: int, data: bytes) -> None:
        arguments = self._piece(number)
        call: Callable[..., Answer] = self._folder.call
        answer = self._folder.retry(
            self._what, lambda: call("upload_part", self._name, Body=data, **arguments)
        )
        self._tags[number] = answer["ETag"]

    def _piece(self, number: int) -> Answer:
        """Name a piece, of an upload that is begun when the first is needed."""
        with self._lock:
            first = None
            if not self._upload:
                self._upload = self._begin()
                first, self._first = self._first, None
        if first is not None:
            self._put(0, first)
        return {"UploadId": self._upload, "PartNumber": number + 1}

    def _begin(self) -> str:
        folder = self._folder
        if self._note and folder.exists(self._note):
            self.abort_noted()
        begun = folder.retry(
            self._what,
            lambda: folder.call("create_multipart_upload", self._name, Metadata=self._metadata),
        )
        if self._note:
            folder.put(self._note, str(begun["UploadId"]).encode())
        return str(begun["UploadId"])

    def _conclude(self, method: str, guard: dict[str, str], **arguments: Any) -> str:
        """Send what makes the object appear; an answer that was lost is looked up.

        Returns the object's ETag.
        """
        folder, name = self._folder, self._name

        def send() -> str:
            try:
                return _etag(folder.call(method, name, **arguments, **guard))
            except Exception as error:
                if guard and isinstance(error, OSError) and error.errno == errno.ENOSYS:
                    # a store without create-once: whether the name is free was looked at before
                    return _etag(folder.call(method, name, **arguments))
                if not self._is_mine():
                    raise
                return ""

        try:
            etag = folder.retry(self._what, send, plain=True)
        except FileNotFoundError as error:
            raise StorageError(f"can't {self._what}: its upload is gone") from error
        folder.system.invalidate_cache()
        return etag

    def _is_mine(self) -> bool:
        """Return whether the object is there after all: S3 may have done it and not been heard."""
        with suppress(Exception):
            return self._folder.has_mark(self._name, self.mark)
        return False
