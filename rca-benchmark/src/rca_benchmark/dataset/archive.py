"""The tarball of a data set: the same bytes for the same files; nothing unsafe comes out of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from rca_benchmark.dataset import index, native
from rca_benchmark.dataset.convert import whole_folder
from rca_benchmark.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUMS: Final = "SHA256SUMS"
LIMIT_BYTES: Final = 16 * 2**30
_CHUNK: Final = 2**20


def pack(root: Path, out: Path, attached: Sequence[Path] = ()) -> str:
    """Write a native data set, whole and indexed, as one gzipped tarball with ``SHA256SUMS``.

    Members are sorted and carry no owner, time or mode of their own, so that equal data sets give
    equal tarballs (with the same zlib), wherever they lie and whatever their folder is called.

    Args:
        root: the data set.
        out: the tarball; must not exist.
        attached: files to put beside the manifest under their own names, e.g. a leaderboard.

    Returns:
        Hex SHA-256 of the tarball.

    Raises:
        CaseError: the data set has no index or is not whole, the tarball is already there, or an
            attached file is missing or has the name of another.
    """
    if not index.is_indexed(root):
        raise CaseError(f"{root}: no {index.MANIFEST}; run: rca-benchmark dataset index {root}")
    native.refuse_existing(out)
    if problems := [*index.find_problems(root), *_case_problems(root)]:
        raise CaseError(f"{len(problems)} problems, the first: {problems[0]}")
    sources = {name: root / name for name in _files(root)}
    for path in attached:
        if not path.is_file():
            raise CaseError(f"{path}: no such file")
        if path.name in sources or path.name == SUMS:
            raise CaseError(f"{path}: the data set holds a file of that name already")
        sources[path.name] = path
    names = sorted(sources)
    sums = "".join(f"{native.sha256(sources[name])}  {name}\n" for name in names).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            tar.addfile(_member(SUMS, len(sums)), io.BytesIO(sums))
            for name in names:
                with sources[name].open("rb") as source:
                    tar.addfile(_member(name, sources[name].stat().st_size), source)
        Path(partial).chmod(0o644)
        Path(partial).rename(out)
    finally:
        Path(partial).unlink(missing_ok=True)
    return native.sha256(out)


def unpack(archive: Path, out: Path, *, limit_bytes: int = LIMIT_BYTES) -> int:
    """Unpack a tarball of ``pack`` into a new folder, whole or not at all.

    Args:
        archive: the tarball.
        out: folder to write; must not exist.
        limit_bytes: largest size of the tarball once decompressed.

    Returns:
        The number of files.

    Raises:
        CaseError: a member is no plain file, or would lie outside the folder; a hash is missing or
            wrong; the size is over the limit; the file is no gzipped tarball.
    """
    with whole_folder(out) as partial:
        try:
            with gzip.open(archive, "rb") as zipped:
                stream = _Limited(zipped, limit_bytes)
                with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as tar:
                    found = dict(_extract(tar, partial))
                while stream.read(_CHUNK):  # to the end: the checksum of the whole comes last
                    pass
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise CaseError(f"{archive}: no whole gzipped tarball: {error}") from error
        except CaseError as error:
            raise CaseError(f"{archive}: {error}") from error
        _check_sums(archive, partial, found)
        return len(found) - 1


def _extract(tar: tarfile.TarFile, root: Path) -> Iterator[tuple[str, str]]:
    """Write every member below the folder; yields name and hash."""
    seen: set[str] = set()
    for member in tar:
        _check_member(member, seen)
        path = root / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        if source is None:
            raise CaseError(f"{member.name!r} is no plain file")
        digest = hashlib.sha256()
        with path.open("xb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        yield member.name, digest.hexdigest()


def _check_member(member: tarfile.TarInfo, seen: set[str]) -> None:
    name = member.name
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise CaseError(f"{name!r} is a link, a device, a folder or sparse; only files are taken")
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or str(PurePosixPath(name)) != name
        or any(part == ".." or part.startswith(".") for part in parts)
        or any(char in name for char in "\\:\0\n")
    ):
        raise CaseError(f"{name!r} is not a plain relative path")
    if name in seen:
        raise CaseError(f"{name!r} occurs twice")
    seen.add(name)


def _check_sums(archive: Path, root: Path, found: dict[str, str]) -> None:
    if SUMS not in found:
        raise CaseError(f"{archive}: no {SUMS}")
    expected = {}
    for number, line in enumerate((root / SUMS).read_text(encoding="utf-8").splitlines()):
        digest, separator, name = line.partition("  ")
        if not separator:
            raise CaseError(f"{archive}: {SUMS}: row {number} is not '<SHA-256>  <file>'")
        expected[name] = digest
    found = {name: digest for name, digest in found.items() if name != SUMS}
    for name in sorted(set(found) | set(expected)):
        if name not in expected:
            raise CaseError(f"{archive}: {name} has no hash in {SUMS}")
        if name not in found:
            raise CaseError(f"{archive}: {name} is in {SUMS}, but missing")
        if found[name] != expected[name]:
            raise CaseError(f"{archive}: {name} differs from its hash in {SUMS}")
    (root / SUMS).unlink()


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than so many bytes, whatever a member claims to hold."""

    def __init__(self, source: gzip.GzipFile, limit: int) -> None:
        super().__init__()
        self._source = source
        self._limit = limit
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._source.read(min(len(buffer), self._left + 1))
        self._left -= len(chunk)
        if self._left < 0:
            raise CaseError(f"holds more than {self._limit} bytes; raise the limit to allow it")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A member whose header depends on nothing but name and size."""
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member


def _files(root: Path) -> Iterator[str]:
    """All files that the manifest knows, relative to the data set."""
    yield from (index.MANIFEST, index.INDEX)
    for case in index.hashes_of(index.read_manifest(root)):
        yield f"{case}/case.json"
        files: dict[str, Any] = native.read_manifest(root / case)["files"]
        yield from (f"{case}/{name}" for name in files)


def _case_problems(root: Path) -> list[str]:
    cases = index.hashes_of(index.read_manifest(root))
    return [problem for case in cases for problem in native.find_problems(root / case)]
