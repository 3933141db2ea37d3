import gzip
import hashlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rca_benchmark.dataset import find_cases
from rca_benchmark.dataset.archive import SUMS, pack, unpack
from rca_benchmark.dataset.describe import validate
from rca_benchmark.dataset.index import write_index
from rca_benchmark.errors import CaseError


@pytest.fixture
def root(make_dataset):
    root = make_dataset(2)
    write_index(root, name="llm", version="1", licence="MIT")
    return root


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def tarball(path, members, sums=None):
    """A tarball of (name, bytes) or ready members, with right hashes unless given."""
    files = [member for member in members if isinstance(member, tuple)]
    if sums is None:
        lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files)
        sums = "".join(lines).encode()
    with tarfile.open(path, "w:gz") as tar:
        for member in [(SUMS, sums), *members]:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return path


def test_what_is_packed_is_unpacked(root, tmp_path):
    pack(root, tmp_path / "a.tar.gz")
    assert unpack(tmp_path / "a.tar.gz", tmp_path / "again") == len(contents(root))
    assert contents(tmp_path / "again") == contents(root)
    assert validate(tmp_path / "again") == []
    assert find_cases(tmp_path / "again")[0].dataset == "llm"


def test_equal_data_sets_give_equal_bytes_wherever_they_lie(root, tmp_path):
    first = pack(root, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        path.chmod(0o700)
    (tmp_path / "elsewhere" / ".hidden").write_text("left out")
    second = pack(tmp_path / "elsewhere", tmp_path / "deep" / "b.tar.gz")
    assert first == second
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "deep" / "b.tar.gz").read_bytes()


def test_members_carry_neither_owner_nor_time(root, tmp_path):
    pack(root, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        members = tar.getmembers()
    assert {(member.mtime, member.uid, member.gid, member.mode) for member in members} == {
        (0, 0, 0, 0o644)
    }
    assert members[0].name == SUMS
    assert (tmp_path / "a.tar.gz").read_bytes()[4:8] == bytes(4)


def test_a_data_set_that_is_not_whole_is_not_packed(root, tmp_path):
    (root / "cpu-ray-head-0" / "logs.parquet").write_text("x")
    with pytest.raises(CaseError, match=r"1 problems, the first: .*logs.parquet: differs"):
        pack(root, tmp_path / "a.tar.gz")
    (root / "dataset.json").unlink()
    with pytest.raises(CaseError, match="run: rca-benchmark dataset index"):
        pack(root, tmp_path / "a.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_attached_files_lie_beside_the_manifest(root, tmp_path):
    (tmp_path / "leaderboard.csv").write_text("method\n")
    pack(root, tmp_path / "set.tar.gz", [tmp_path / "leaderboard.csv"])
    unpack(tmp_path / "set.tar.gz", tmp_path / "set")
    assert (tmp_path / "set" / "leaderboard.csv").read_text() == "method\n"
    assert validate(tmp_path / "set") == []


def test_what_cannot_be_attached_is_named(root, tmp_path):
    (tmp_path / "index.parquet").write_text("not the index")
    with pytest.raises(CaseError, match="holds a file of that name already"):
        pack(root, tmp_path / "set.tar.gz", [tmp_path / "index.parquet"])
    with pytest.raises(CaseError, match=r"none\.csv: no such file"):
        pack(root, tmp_path / "set.tar.gz", [tmp_path / "none.csv"])
    assert not (tmp_path / "set.tar.gz").exists()


def test_an_existing_file_is_not_overwritten(root, tmp_path):
    (tmp_path / "a.tar.gz").write_text("mine")
    with pytest.raises(CaseError, match="exists"):
        pack(root, tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_text() == "mine"


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../evil", b"x"), "not a plain relative path"),
        (("a/../../evil", b"x"), "not a plain relative path"),
        (("/tmp/evil", b"x"), "not a plain relative path"),  # noqa: S108
        (("a\\evil", b"x"), "not a plain relative path"),
        (("a//evil", b"x"), "not a plain relative path"),
        ((".hidden", b"x"), "not a plain relative path"),
        ((SUMS, b"x"), "occurs twice"),
        (special("evil", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (special("evil", tarfile.LNKTYPE, SUMS), "is a link"),
        (special("evil", tarfile.CHRTYPE), "is a link, a device"),
        (special("evil", tarfile.FIFOTYPE), "is a link, a device"),
        (special("evil", tarfile.DIRTYPE), "a folder"),
    ],
)
def test_an_unsafe_member_is_refused_and_nothing_is_left(tmp_path, member, message):
    archive = tarball(tmp_path / "a.tar.gz", [("case/case.json", b"{}"), member])
    with pytest.raises(CaseError, match=message):
        unpack(archive, tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        (b"", "case.json has no hash"),
        (b"0" * 64 + b"  case.json\n", "case.json differs from its hash"),
        (hashlib.sha256(b"{}").hexdigest().encode() + b"  other\n", "case.json has no hash"),
        (
            hashlib.sha256(b"{}").hexdigest().encode() + b"  case.json\n" + b"0" * 64 + b"  z\n",
            "z is in SHA256SUMS, but missing",
        ),
        (b"garbage\n", "row 0 is not"),
    ],
)
def test_wrong_or_missing_hashes_are_refused(tmp_path, sums, message):
    archive = tarball(tmp_path / "a.tar.gz", [("case.json", b"{}")], sums)
    with pytest.raises(CaseError, match=message):
        unpack(archive, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_tarball_without_hashes_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("case.json"))
    with pytest.raises(CaseError, match="no SHA256SUMS"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "set")


def test_a_bomb_is_refused_before_it_is_on_disk(tmp_path):
    archive = tarball(tmp_path / "a.tar.gz", [("zeros", bytes(10_000_000))])
    assert archive.stat().st_size < 100_000
    with pytest.raises(CaseError, match="holds more than 1000000 bytes"):
        unpack(archive, tmp_path / "set", limit_bytes=1_000_000)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_bomb_in_a_header_is_refused(tmp_path):
    info = tarfile.TarInfo("case.json")
    info.pax_headers = {"comment": "0" * 10_000_000}
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    with pytest.raises(CaseError, match="holds more than"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "set", limit_bytes=1_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"garbage", gzip.compress(b"garbage" * 100), gzip.compress(bytes(100))]
)
def test_what_is_no_tarball_is_refused(tmp_path, data):
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(CaseError, match=r"a\.tar\.gz"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "set")
    assert not (tmp_path / "set").exists()


@given(cut=st.floats(0, 0.999))
def test_a_tarball_that_is_cut_short_is_refused(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    whole = tarball(folder / "a.tar.gz", [("a/b", b"123" * 500), ("c", b"")]).read_bytes()
    (folder / "a.tar.gz").write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(CaseError, match=r"a\.tar\.gz"):
        unpack(folder / "a.tar.gz", folder / "set")
    assert not (folder / "set").exists()
