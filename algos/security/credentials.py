"""What a machine or a driver needs to enter a cluster, as one value: token and certificates; and an invite, its file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gym_gazebo2.algos.runs.writing import convert_os_errors
from gym_gazebo2.errors import RunError

__all__ = ["Credentials", "read_invite", "write_invite", "write_private"]

FORMAT = "gym_gazebo2 cluster invite 1"
"""First field of an invite, so that another file is recognised."""


@dataclasses.dataclass(frozen=True)
class Credentials:
    """Token and certificates of one machine.

    Attributes:
        address: HOST:PORT of the cluster; empty where it is not known.
        token: The token of the cluster; empty: none.
        authority: Certificate of the CA (PEM); empty: no TLS.
        certificate: Certificate of this machine (PEM).
        key: Its private key (PEM).
        insecure: Whether the head was started with ``--insecure``: a VPN encrypts instead of TLS.
        source: Where it was found, for messages.
    """

    address: str = ""
    token: str = dataclasses.field(default="", repr=False)
    authority: str = ""
    certificate: str = ""
    key: str = dataclasses.field(default="", repr=False)
    insecure: bool = False
    source: str = ""

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.authority)

    def make_environment(self, folder: Path) -> dict[str, str | None]:
        """Write what Ray reads from files, and return Ray's environment variables; None is one to be removed.

        Args:
            folder: An existing folder, which only this user can read.

        Raises:
            WriteError: A file cannot be written.
        """
        variables: dict[str, str | None] = {"RAY_AUTH_TOKEN": None}  # it would win over the file
        variables |= {"RAY_AUTH_MODE": "token" if self.token else "disabled", "RAY_USE_TLS": "1" if self.has_tls else "0"}
        files = {"RAY_AUTH_TOKEN_PATH": self.token}
        if self.has_tls:
            files |= {
                "RAY_TLS_CA_CERT": self.authority,
                "RAY_TLS_SERVER_CERT": self.certificate,
                "RAY_TLS_SERVER_KEY": self.key,
            }
        for name, content in files.items():
            if content:
                path = folder / name.lower()
                write_private(path, content)
                variables[name] = str(path)
        return variables


def write_private(path: Path, content: str) -> None:
    """Write a file that nobody else can read at any moment. It replaces an older one as a whole.

    Raises:
        WriteError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    with convert_os_errors(path):
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(content)
        part.replace(path)


def write_invite(path: Path, credentials: Credentials) -> None:
    """Write an invite, mode 0600.

    Raises:
        WriteError: It cannot be written.
    """
    fields = {name: value for name, value in dataclasses.asdict(credentials).items() if name != "source"}
    write_private(path, json.dumps({"format": FORMAT, **fields}, indent=1) + "\n")


def read_invite(path: Path) -> Credentials:
    """Return what an invite holds.

    Raises:
        RunError: It cannot be read, is no invite, or others can read it.
    """
    again = "Make one on the head with: gym-gazebo2 cluster invite ADDRESS"
    try:
        mode, content = path.stat().st_mode, json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"Cannot read the invite {path}: {error}. {again}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise RunError(f"Other users can read the invite {path}, which lets its reader run code. Use: chmod 600 {path}")
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        if content.pop("format") == FORMAT and all(map(_is_valid, content.items())):
            return Credentials(**content, source=str(path))
    raise RunError(f"{path} is not an invite of this version. {again}")


def _is_valid(item: tuple[str, object]) -> bool:
    name, value = item
    return isinstance(value, bool if name == "insecure" else str)


def read_environment(variables: Mapping[str, str]) -> Credentials | None:
    """Return what Ray's own environment variables hold, as in a container; None where none is set.

    Raises:
        RunError: A file that they name cannot be read.
    """
    has_tls = variables.get("RAY_USE_TLS", "0").lower() in ("1", "true")
    token = variables.get("RAY_AUTH_TOKEN", "") or _read(variables, "RAY_AUTH_TOKEN_PATH")
    if not has_tls and not token:
        return None
    names = ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY")
    authority, certificate, key = (_read(variables, name) if has_tls else "" for name in names)
    return Credentials("", token.strip(), authority, certificate, key, source="the environment variables of Ray")


def _read(variables: Mapping[str, str], name: str) -> str:
    if not (path := variables.get(name)):
        return ""
    try:
        return Path(path).read_text()
    except (OSError, ValueError) as error:
        raise RunError(f"Cannot read {path}, which {name} names: {error}. Correct the variable, or give --invite.") from error
