"""Write the lock file of the Debian 11 packages that a gzserver and the build of the plug-in need. For maintainers.

Usage: ``python tools/make_gazebo_lock.py MIRROR > gazebo/gazebo11.lock``, on a machine with apt and debian-archive-keyring.

apt resolves the dependencies in a state folder of its own, and verifies the packages against the archive's signature. Packages
whose libraries nothing needs are then left out.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gym_gazebo2.gazebo.debian import Package, unpack

__all__ = ["make_lock"]

PROGRAMS = ("gazebo", "gazebo-common", "libgazebo11", "libogre-1.9.0v5")
HEADERS = (
    *("libgazebo-dev", "libsdformat-dev", "libboost1.74-dev", "libprotobuf-dev", "libtbb-dev", "uuid-dev"),
    *(f"libignition-{part}-dev" for part in ("math", "msgs", "transport", "common", "fuel-tools")),
)
# The C and C++ runtime of the host must be used: it is newer, and the plug-in is linked with it.
FROM_HOST = re.compile(
    r"(ld-linux.*|libc|libm|libmvec|libdl|libpthread|librt|libresolv|libutil|libnsl|libanl|libstdc\+\+|libgcc_s|libcrypt)"
    r"\.so.*"
)
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def make_lock(mirror: str) -> str:
    """Return the text of the lock.

    Args:
        mirror: Address of a Debian mirror that carries bullseye.

    Raises:
        subprocess.CalledProcessError: apt cannot read the mirror, or a package is gone.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        apt = _prepare_apt(root, mirror)
        _run("apt-get", *apt, "update")
        simulated = _run("apt-get", *apt, "--simulate", "install", *PROGRAMS, *HEADERS)
        names = re.findall(r"^Inst (\S+)", simulated, re.M)
        records = [_parse_record(text) for text in _run("apt-cache", *apt, "show", *names).split("\n\n") if text.strip()]
        _run("apt-get", *apt, "download", *names, cwd=root)
        return "".join(f"{p.name} {p.version} {p.size} {p.sha256} {p.path}\n" for p in sorted(_choose(root, records)))


def _prepare_apt(root: Path, mirror: str) -> list[str]:
    for sub in ("state/lists/partial", "cache/archives/partial"):
        (root / sub).mkdir(parents=True)
    (root / "status").touch()
    (root / "sources.list").write_text(f"deb [signed-by={KEYRING} arch=amd64] {mirror} bullseye main\n")
    options = {
        "Dir::State": root / "state",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "Dir::Etc::sourcelist": root / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Install-Recommends": "false",
        "APT::Architecture": "amd64",
    }
    return [f"-o{key}={value}" for key, value in options.items()]


def _run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd, timeout=1800).stdout


def _parse_record(text: str) -> Package:
    field = dict(re.findall(r"^(\S+): (.*)$", text, re.M))
    return Package(field["Package"], field["Version"], int(field["Size"]), field["SHA256"], field["Filename"])


def _choose(root: Path, packages: Iterable[Package]) -> set[Package]:
    """Return the named packages, and recursively those whose libraries the chosen ones need."""
    by_name: dict[str, Package] = {}
    libraries: dict[str, str] = {}
    for package in packages:
        archive = next(root.glob(f"{package.name}_*.deb"))
        if hashlib.sha256(archive.read_bytes()).hexdigest() != package.sha256:
            continue
        unpack(archive, root / "unpacked" / package.name)
        by_name[package.name] = package
        for file in (root / "unpacked" / package.name).rglob("*.so*"):
            libraries.setdefault(file.name, package.name)
    todo, chosen = [*PROGRAMS, *HEADERS], set()
    while todo:
        name = todo.pop()
        if name in chosen:
            continue
        chosen.add(name)
        todo += (
            [] if name in HEADERS else [libraries[need] for need in _find_needs(root / "unpacked" / name) if need in libraries]
        )
    return {by_name[name] for name in chosen}


def _find_needs(folder: Path) -> set[str]:
    """Return the names of the shared libraries that the programs and libraries of a folder need."""
    files = [str(f) for f in folder.rglob("*") if f.is_file() and (".so" in f.name or f.parent.name == "bin")]
    files = [file for file in files if Path(file).read_bytes()[:4] == b"\x7fELF"]
    needs = re.findall(r"NEEDED +(\S+)", _run("objdump", "-p", *files)) if files else []
    return {need for need in needs if not FROM_HOST.fullmatch(need)}


if __name__ == "__main__":
    sys.stdout.write(make_lock(sys.argv[1]))
