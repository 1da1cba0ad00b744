"""The folder of a head: its CA, its own certificate, the token, and the address that it serves.

The key of the CA never leaves this folder. Whoever has it can make certificates with which a machine enters the cluster, if it
has the token, too. Invites hold only the certificate of the CA.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
from pathlib import Path

from gym_gazebo2.algos.runs.writing import convert_os_errors
from gym_gazebo2.algos.security.addresses import split_address
from gym_gazebo2.algos.security.certificates import MACHINE_DAYS, Identity, issue, make_authority
from gym_gazebo2.algos.security.credentials import Credentials, write_private
from gym_gazebo2.errors import InvalidArgumentError, RunError

__all__ = ["HeadFolder", "find_default_folder"]


def find_default_folder() -> Path:
    """Return the default folder of a head, below the user's folder for state (XDG)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "gym_gazebo2" / "cluster"


@dataclasses.dataclass(frozen=True)
class HeadFolder:
    """The folder of a head, mode 0700; its files have mode 0600.

    Attributes:
        path: The folder.
    """

    path: Path

    def prepare(self, address: str, insecure: bool, has_tls: bool) -> Credentials:
        """Make what is missing, and return the head's own credentials.

        CA and token stay those of the last start, so that invites remain valid. The head's certificate is always new.

        Args:
            address: HOST:PORT of the cluster.
            insecure: Whether a VPN is to encrypt instead of TLS.
            has_tls: Whether to use TLS.

        Raises:
            WriteError: The folder cannot be written to.
            MissingDependencyError: The package ``cryptography`` is not installed.
        """
        with convert_os_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
        token = self._read("token") or self._write("token", secrets.token_hex(32))
        machine, authority = Identity("", ""), ""
        if has_tls:
            signer = self._read_authority() or self._make_authority()
            machine, authority = issue(signer, split_address(address)[0]), signer.certificate
        own = Credentials(address, token, authority, machine.certificate, machine.key, insecure, f"the head's {self.path}")
        self._write("head.json", json.dumps(dataclasses.asdict(own)))
        return own

    def read(self) -> Credentials:
        """Return the head's own credentials.

        Raises:
            RunError: No head was started with this folder.
        """
        try:
            return Credentials(**json.loads(self._read("head.json")))
        except (ValueError, TypeError) as error:
            sentence = f"No head was started with the folder {self.path}. Start one with: gym-gazebo2 cluster head --address IP"
            raise RunError(sentence) from error

    def invite(self, address: str, days: float = MACHINE_DAYS) -> Credentials:
        """Return credentials for another machine, with a key and certificate of its own.

        Args:
            address: IP address or host name of that machine.
            days: How long its certificate is valid [d].

        Raises:
            RunError: No head was started with this folder, or its files are incomplete.
            InvalidArgumentError: The head serves its own machine alone.
        """
        head = self.read()
        if not head.has_tls and not head.insecure:
            sentence = (
                f"The head at {head.address} serves this machine alone. Start it with: gym-gazebo2 cluster head --address IP"
            )
            raise InvalidArgumentError("address", address, sentence=sentence)
        machine = Identity("", "")
        if head.has_tls:
            authority = self._read_authority()
            if authority is None:
                raise RunError(f"{self.path} has no ca.pem and ca.key. Start the head again, and make new invites.")
            machine = issue(authority, address, days)
        return dataclasses.replace(head, certificate=machine.certificate, key=machine.key)

    def _read(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return (self.path / name).read_text()
        return ""

    def _write(self, name: str, content: str) -> str:
        write_private(self.path / name, content)
        return content

    def _read_authority(self) -> Identity | None:
        certificate, key = self._read("ca.pem"), self._read("ca.key")
        return Identity(certificate, key) if certificate and key else None

    def _make_authority(self) -> Identity:
        made = make_authority()
        self._write("ca.key", made.key)
        self._write("ca.pem", made.certificate)
        return made
