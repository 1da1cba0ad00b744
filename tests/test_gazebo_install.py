"""Installing Gazebo: the lock, fetching and unpacking against a mirror made here, and the real installation."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import platform
import socket
import stat
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_gazebo2.gazebo import fetch, install, locate
from gym_gazebo2.gazebo.debian import LOCK, Package, read_lock, unpack
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.fetch import fetch_packages, find_mirrors
from gym_gazebo2.gazebo.install import install_gazebo
from gym_gazebo2.gazebo.locate import Gazebo, find_cached_prefix, find_gazebo, find_system_gazebo, read_prefix
from gym_gazebo2.gazebo.server import check_gazebo

FROM_HOST = {"libc6", "libc6-dev", "libstdc++6", "libgcc-s1", "libcrypt1"}


def make_deb(files: dict[str, str], links: dict[str, str] | None = None) -> bytes:
    """Return a .deb with files (path to content) and symbolic links (path to target)."""
    tar_file = io.BytesIO()
    with tarfile.open(fileobj=tar_file, mode="w:xz") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755 if "/bin/" in path else 0o644
            tar.addfile(member, io.BytesIO(content.encode()))
        for path, target in (links or {}).items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    deb = b"!<arch>\n"
    for name, data in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", tar_file.getvalue())):
        deb += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return deb


class Mirror:
    """A folder that looks like a mirror, and the lock of what it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.packages, self.url = folder, list[Package](), folder.as_uri()

    def add(self, name: str, deb: bytes) -> Package:
        path = f"pool/{name}+1_amd64.deb"
        (self.folder / "pool").mkdir(exist_ok=True, parents=True)
        (self.folder / path).write_bytes(deb)
        self.packages.append(Package(name, "1", len(deb), hashlib.sha256(deb).hexdigest(), path))
        return self.packages[-1]

    def write_lock(self) -> Path:
        lock = self.folder / "lock"
        lock.write_text("".join(f"{p.name} {p.version} {p.size} {p.sha256} {p.path}\n" for p in self.packages))
        return lock


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "mirror")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "cache"


def quiet(what: str, done: int, total: int) -> None:
    assert what and 0 <= done <= total


def put_program(tmp_path: Path, name: str, says: str) -> None:
    program = tmp_path / "bin" / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_lock_names_what_is_needed_and_nothing_of_the_host() -> None:
    names = [package.name for package in read_lock()]
    assert len(names) == len(set(names))
    assert {"gazebo", "libgazebo11", "libgazebo-dev", "libboost1.74-dev", "libsdformat-dev"} <= set(names)
    assert not FROM_HOST & set(names)
    assert not any("://" in package.path for package in read_lock())


def test_broken_lock_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("gazebo 11 12 abc\n")
    with pytest.raises(GazeboError, match="Line 1"):
        read_lock(lock)


def test_fetches_verifies_and_keeps(mirror: Mirror, tmp_path: Path) -> None:
    packages = [mirror.add(f"p{k}", make_deb({"usr/a": str(k)})) for k in range(30)]
    seen: list[tuple[int, int]] = []
    paths = fetch_packages(packages, tmp_path / "got", mirror.url, lambda _, done, total: seen.append((done, total)))
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == [p.sha256 for p in packages]
    assert seen[-1][0] == seen[-1][1] == sum(p.size for p in packages)
    (mirror.folder / packages[0].path).unlink()
    assert fetch_packages(packages, tmp_path / "got", mirror.url, quiet) == paths


def test_continues_where_it_was_interrupted(mirror: Mirror, tmp_path: Path) -> None:
    packages = [mirror.add(f"p{k:02}", make_deb({"usr/a": str(k)})) for k in range(30)]
    missing = mirror.folder / packages[20].path
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(GazeboError, match="run the command again"):
        fetch_packages(packages, tmp_path / "got", mirror.url, quiet)
    kept = list((tmp_path / "got").glob("*.deb"))
    assert kept and not list((tmp_path / "got").glob("*.part"))
    missing.write_bytes(content)
    times = {path: path.stat().st_mtime_ns for path in kept}
    assert len(fetch_packages(packages, tmp_path / "got", mirror.url, quiet)) == 30
    assert times == {path: path.stat().st_mtime_ns for path in kept}


def test_other_content_than_the_lock_says_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    package = mirror.add("p", make_deb({"usr/a": "good"}))
    (mirror.folder / package.path).write_bytes(make_deb({"usr/a": "evil"}))
    with pytest.raises(GazeboError, match=f"expected {package.sha256}"):
        fetch_packages([package], tmp_path / "got", mirror.url, quiet)
    assert not list((tmp_path / "got").iterdir())


@pytest.mark.parametrize("content", [b"", make_deb({"usr/a": "evil"})])
def test_a_kept_package_that_is_not_the_locked_one_is_fetched_again(mirror: Mirror, tmp_path: Path, content: bytes) -> None:
    package = mirror.add("p", make_deb({"usr/a": "good"}))
    [kept] = fetch_packages([package], tmp_path / "got", mirror.url, quiet)
    kept.write_bytes(content)
    assert fetch_packages([package], tmp_path / "got", mirror.url, quiet) == [kept]
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == package.sha256


@contextlib.contextmanager
def run_cutting_mirror(whole: bytes) -> Iterator[str]:
    """Serve one file over HTTP, and cut the connection in the middle of the next."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)

        def serve() -> None:
            for body in (whole, whole[:-1]):
                connection, _ = listener.accept()
                connection.settimeout(60)
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole) + body)
                if body is not whole:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def test_a_connection_that_is_cut_is_said_and_what_came_is_kept(tmp_path: Path) -> None:
    deb = make_deb({"usr/a": "a"})
    packages = [Package("a", "1", len(deb), hashlib.sha256(deb).hexdigest(), "pool/a.deb"), Package("b", "1", 9, "0" * 64, "b")]
    with run_cutting_mirror(deb) as url, pytest.raises(GazeboError, match=r"(?s)b: .*finished downloads are kept"):
        fetch_packages(packages, tmp_path / "got", url, quiet)
    assert [path.read_bytes() for path in (tmp_path / "got").iterdir()] == [deb]


def test_a_slow_apt_is_said_and_what_came_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deb = make_deb({"usr/a": "a"})
    packages = [Package("a", "1", len(deb), hashlib.sha256(deb).hexdigest(), "a"), Package("b", "1", 9, "0" * 64, "b")]
    (tmp_path / "a.deb").write_bytes(deb)
    helper = tmp_path / "apt-helper"
    helper.write_text(f'#!/bin/sh\ncp {tmp_path}/a.deb "$4"\nexec sleep 60\n')
    helper.chmod(0o755)
    monkeypatch.setattr(fetch, "APT_HELPER", helper)
    monkeypatch.setattr(fetch, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(fetch, "find_mirrors", lambda: ["http://127.0.0.1"])
    with pytest.raises(GazeboError, match=r"did not end within 1 s.*finished downloads are kept"):
        fetch_packages(packages, tmp_path / "got", None, quiet)
    assert [path.read_bytes() for path in (tmp_path / "got").iterdir()] == [deb]


def test_no_mirror_is_said(empty_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(GazeboError, match="--mirror"):
        fetch_packages([Package("p", "1", 1, "0" * 64, "pool/p.deb")], tmp_path / "got", None, quiet)


def test_unpacks_with_links_that_stay_inside(tmp_path: Path) -> None:
    deb, prefix = tmp_path / "a.deb", tmp_path / "prefix"
    files = {"./usr/bin/run": "go", "./usr/share/doc/a/README": "no", "./usr/lib/liba.so.1.2": "x"}
    deb.write_bytes(make_deb(files, {"./usr/lib/liba.so": "liba.so.1.2", "./usr/lib/abs.so": "/usr/lib/liba.so.1.2"}))
    unpack(deb, prefix)
    unpack(deb, prefix)
    assert (prefix / "usr/lib/liba.so").read_text() == (prefix / "usr/lib/abs.so").read_text() == "x"
    assert not (prefix / "usr/lib/abs.so").readlink().is_absolute()
    assert (prefix / "usr/bin/run").stat().st_mode & 0o777 == 0o755
    assert not (prefix / "usr/share").exists()


@pytest.mark.parametrize("path", ["../out", "/etc/out", "usr/../../out"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: str) -> None:
    deb = tmp_path / "a.deb"
    deb.write_bytes(make_deb({path: "x"}))
    with pytest.raises(GazeboError, match="below its root"):
        unpack(deb, tmp_path / "prefix")


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a.deb", tmp_path / "b.deb"
    first.write_bytes(make_deb({}, {"usr/lib": "../../outside"}))
    second.write_bytes(make_deb({"usr/lib/x": "x"}))
    (tmp_path / "outside").mkdir()
    unpack(first, tmp_path / "prefix")
    with pytest.raises(GazeboError, match="leads out"):
        unpack(second, tmp_path / "prefix")
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"!<arch>\n"])
def test_other_files_are_no_packages(tmp_path: Path, content: bytes) -> None:
    deb = tmp_path / "a.deb"
    deb.write_bytes(content)
    with pytest.raises(GazeboError, match="not a Debian package"):
        unpack(deb, tmp_path / "prefix")


def test_an_installation_that_does_not_start_gets_no_name(mirror: Mirror, empty_cache: Path) -> None:
    mirror.add(
        "gazebo", make_deb({"usr/bin/gzserver-11.1.0": "#!/bin/sh\nexit 7\n", "usr/bin/gz-11.1.0": "#!/bin/sh\nexit 0\n"})
    )
    with pytest.raises(GazeboError, match="with exit status 7"):
        install_gazebo(mirror.url, quiet, mirror.write_lock())
    assert not find_cached_prefix().exists() and find_gazebo() is None


def test_a_lock_without_gazebo_is_refused(mirror: Mirror, empty_cache: Path) -> None:
    mirror.add("other", make_deb({"usr/bin/other": ""}))
    with pytest.raises(GazeboError, match="has no usr/bin/gzserver-11"):
        install_gazebo(mirror.url, quiet, mirror.write_lock())


def test_one_at_a_time(empty_cache: Path) -> None:
    folder = empty_cache / "gym_gazebo2"
    folder.mkdir(parents=True)
    with (folder / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(GazeboError, match="Another process"):
            install_gazebo(None, quiet)


def test_a_cache_that_cannot_be_made_is_said(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(GazeboError, match="XDG_CACHE_HOME"):
        install_gazebo(None, quiet)


def test_the_systems_own_package_is_better(tmp_path: Path, empty_cache: Path) -> None:
    put_program(tmp_path, "apt-cache", "Version: 11.10.2+dfsg-1")
    with pytest.raises(GazeboError, match=r"apt offers Gazebo 11\.10\.2.*sudo apt install gazebo libgazebo-dev"):
        install_gazebo(None, quiet)


@pytest.mark.parametrize("url", [None, "http://127.0.0.1"])
def test_other_machines_are_told(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(GazeboError, match="expected Linux on x86_64"):
        install_gazebo(url, quiet)


def test_a_named_mirror_is_taken_though_apt_has_one(tmp_path: Path, empty_cache: Path, mirror: Mirror) -> None:
    put_program(tmp_path, "apt-cache", "Version: 11.10.2+dfsg-1")
    mirror.add("other", make_deb({"usr/bin/other": ""}))
    with pytest.raises(GazeboError, match="has no usr/bin/gzserver-11"):
        install_gazebo(mirror.url, quiet, mirror.write_lock())


def test_a_disk_that_fills_up_is_said(mirror: Mirror, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.add("other", make_deb({"usr/bin/other": ""}))

    def refuse(archive: Path, prefix: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(prefix))

    monkeypatch.setattr(install, "unpack", refuse)
    with pytest.raises(GazeboError, match="No space left on device.*free disk space"):
        install_gazebo(mirror.url, quiet, mirror.write_lock())


@pytest.mark.parametrize(
    ("says", "version"), [("Gazebo multi-robot simulator, version 11.10.2", "11.10.2"), ("version 9.0.0", None)]
)
def test_finds_the_systems_own(tmp_path: Path, empty_cache: Path, says: str, version: str | None) -> None:
    put_program(tmp_path, "gzserver", says)
    found = find_system_gazebo()
    assert (found and found.version) == version
    if found:
        assert found.prefix is None and found.make_environment() == {}


def test_uses_the_systems_own_where_there_is_one(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(tmp_path, "gzserver", "version 11.10.2")
    checked: list[Gazebo] = []
    monkeypatch.setattr(install, "check_gazebo", checked.append)
    assert install_gazebo(None, quiet) == checked[0] == find_system_gazebo()
    assert not empty_cache.exists()


def test_apt_names_a_mirror_where_there_is_apt() -> None:
    mirrors = find_mirrors()
    assert len(mirrors) == len(set(mirrors)) and all(":" in mirror for mirror in mirrors)


def test_an_apt_that_hangs_is_said(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(tmp_path, "apt-get", "'; exec /bin/sleep 60 #")
    monkeypatch.setattr(locate, "PROGRAM_TIMEOUT_S", 0.2)
    with pytest.raises(GazeboError, match=r"apt-get does not answer: .* timed out"):
        find_mirrors()


def test_the_real_one_is_checked_and_not_fetched_twice() -> None:
    if read_prefix(find_cached_prefix()) is None:
        pytest.skip("Gazebo 11 is not in the cache: gym-gazebo2 install-gazebo")
    calls: list[str] = []
    installed = install_gazebo(progress=lambda what, *_: calls.append(what))
    assert installed.version == "11.1.0" and not calls
    assert locate.find_gazebo() == installed and LOCK.exists()
    check_gazebo(installed)
