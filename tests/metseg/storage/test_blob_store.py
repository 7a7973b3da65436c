import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from outages import FolderOutage, ServerOutage

from metseg.errors import BlobNotFoundError, StoreError, StoreUnavailableError
from metseg.storage import local
from metseg.storage.blob_store import checked_key
from metseg.storage.open import open_blob_store


@pytest.fixture(scope="module")
def bucket():
    with ServerOutage() as server:
        yield server.place


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request, tmp_path):
    if request.param == "s3":
        made = open_blob_store(request.getfixturevalue("bucket"))
        made.delete("jobs")
        return made
    return open_blob_store("memory:///" if request.param == "memory" else str(tmp_path / "store"))


def test_what_was_put_can_be_read(store, tmp_path):
    store.put("jobs/a/x.json", b"one")
    store.put("jobs/a/x.json", b"three")
    assert store.get("jobs/a/x.json") == b"three"
    assert store.size("jobs/a/x.json") == 5
    assert b"".join(store.chunks("jobs/a/x.json", 2)) == b"three"
    store.download("jobs/a/x.json", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"three"
    store.put_file("jobs/a/y.json", tmp_path / "copy")
    assert store.names("jobs") == ["a"]
    assert store.names("jobs/a") == ["x.json", "y.json"]


@pytest.mark.parametrize(
    ("begin", "end", "read"), [(0, 3, b"012"), (4, None, b"456789"), (8, 50, b"89"), (3, 3, b""), (0, None, None)]
)
def test_a_part_of_a_blob_is_read_alone(store, begin, end, read):
    store.put("jobs/a/x", b"0123456789")
    pieces = store.chunks("jobs/a/x", 2, begin=begin, end=end)
    assert b"".join(pieces) == (b"0123456789" if read is None else read)


def test_put_if_absent_has_one_winner_among_many(store):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.put_if_absent("jobs/a/final.json", b"%d" % n), range(24)))
    assert won.count(True) == 1
    assert store.get("jobs/a/final.json") == b"%d" % won.index(True)


def test_a_writer_leaves_all_or_nothing(store):
    def break_off():
        with store.writer("jobs/a/input") as writer:
            writer.write(b"half")
            raise KeyError("disconnected")

    with pytest.raises(KeyError):
        break_off()
    assert store.names("jobs/a") == []
    with store.writer("jobs/a/input") as writer:
        for _ in range(12):
            writer.write(bytes(1 << 20))
    assert store.size("jobs/a/input") == 12 << 20


def test_what_is_not_there_is_said_so(store):
    for ask in (
        store.get,
        store.size,
        lambda key: list(store.chunks(key)),
        lambda key: store.download(key, "/dev/null"),
    ):
        with pytest.raises(BlobNotFoundError):
            ask("jobs/none/x")
    assert store.names("jobs/none") == []
    store.delete("jobs/none")


def test_a_folder_is_erased_while_others_write_and_erase_in_it(tmp_path, monkeypatch):
    store = open_blob_store(str(tmp_path))
    store.put("jobs/a/attempts/1/mask", b"x")
    store.put("jobs/a/job.json", b"x")
    unlink, rmdir, done = os.unlink, os.rmdir, []

    def unlink_after_another(name, **kwargs):
        if "unlink" not in done:
            done.append("unlink")
            unlink(name, **kwargs)
        unlink(name, **kwargs)

    def rmdir_after_a_write(name, **kwargs):
        if "rmdir" not in done and str(name).endswith("a"):
            done.append("rmdir")
            (tmp_path / "jobs/a/late").touch()
        rmdir(name, **kwargs)

    monkeypatch.setattr(os, "unlink", unlink_after_another)
    monkeypatch.setattr(os, "rmdir", rmdir_after_a_write)
    store.delete("jobs/a")
    assert done == ["unlink", "rmdir"]
    assert not (tmp_path / "jobs/a").exists()


def test_delete_erases_a_blob_and_all_below_a_prefix(store):
    for key in ("jobs/a/x", "jobs/a/deep/y", "jobs/ab/z"):
        store.put(key, b"1")
    store.delete("jobs/a")
    assert store.names("jobs") == ["ab"]
    store.delete("jobs/ab/z")
    assert store.names("jobs/ab") == []


def test_check_passes_on_a_store_that_can_be_written(store):
    store.check()


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "../x", "a/../b", "a//b", ".hidden", "a/.b", "a\\b", "a\0b", "ä"]
)
def test_a_key_that_is_no_plain_path_is_refused(store, key):
    for act in (store.get, lambda k: store.put(k, b""), store.delete, store.names):
        with pytest.raises(StoreError):
            act(key)
    with pytest.raises(StoreError):
        checked_key(key)


def test_a_local_blob_is_synced_with_its_folder_before_it_counts(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    store = open_blob_store(str(tmp_path / "store"))
    store.put("jobs/a/x", b"1")
    assert any(path.endswith(".part") for path in synced)
    assert synced[-1].endswith("jobs/a")
    assert {path.rsplit("/", 1)[-1] for path in synced} >= {"store", "jobs", "a"}


def test_a_large_local_blob_is_synced_on_its_way(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(local, "SYNC_BYTES", 1000)
    monkeypatch.setattr(os, "fdatasync", lambda number: sizes.append(os.fstat(number).st_size))
    with open_blob_store(str(tmp_path)).writer("jobs/1/input/0") as file:
        for _ in range(5):
            file.write(bytes(400))
    assert sizes == [1200]


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError):
        open_blob_store(str(tmp_path / "file" / "store"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda store, key: store.get(key),
        lambda store, key: store.size(key),
        lambda store, key: list(store.chunks(key)),
        lambda store, key: store.download(key, "/dev/null"),
        lambda store, key: store.names("jobs"),
        lambda store, key: store.put(key, b""),
        lambda store, key: store.put_if_absent(key, b""),
        lambda store, key: store.delete(key),
        lambda store, key: store.check(),
    ],
    ids=["get", "size", "chunks", "download", "names", "put", "put if absent", "delete", "check"],
)
@pytest.mark.parametrize("make", [True, False], ids=["made", "found"])
def test_a_store_whose_folder_is_missing_is_away_and_comes_back_as_it_was(tmp_path, ask, make):
    outage, key = FolderOutage(tmp_path / "store"), "jobs/a/x"
    open_blob_store(outage.place).put(key, b"1")
    if make:
        store = open_blob_store(outage.place)
        outage.begin()
    else:
        outage.begin()
        store = open_blob_store(outage.place, make=False)
    with pytest.raises(StoreUnavailableError):
        ask(store, key)
    outage.end()
    assert store.get(key) == b"1"


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    store = open_blob_store(str(tmp_path))

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailableError, match="No space left"):
        store.put("x", b"1")
    assert list(tmp_path.iterdir()) == []
