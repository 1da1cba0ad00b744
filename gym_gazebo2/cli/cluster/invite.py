"""``gym-gazebo2 cluster invite``: what another machine needs to join, as one file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from gym_gazebo2.algos.security.certificates import MACHINE_DAYS, check_address_of_machine
from gym_gazebo2.algos.security.credentials import write_invite
from gym_gazebo2.algos.security.head_folder import HeadFolder, find_default_folder
from gym_gazebo2.checks import read_whole
from gym_gazebo2.cli.cluster.printing import show
from gym_gazebo2.cli.command import Command

__all__ = ["Invite"]


@dataclasses.dataclass(frozen=True)
class Invite(Command):
    """Write the invite of one machine: the token, the certificate of the CA, a key, and a certificate for its address.

    Run it on the head. Whoever has the file can run code on all machines of the cluster. Its mode is 0600; copy it with scp.

    Attributes:
        address: Address at which the machines of the cluster reach the other machine.
        out: File to write; None: invite-ADDRESS.json.
        days: How long its certificate is valid [d].
        folder: Folder of the head; None: the default of `cluster head`.
    """

    address: tyro.conf.Positional[str]
    out: Path | None = None
    days: int = MACHINE_DAYS
    folder: Path | None = None

    def run(self) -> None:
        """Write it."""
        address, days = check_address_of_machine("address", self.address), read_whole("days", self.days)
        invite = HeadFolder(self.folder or find_default_folder()).invite(address, days)
        out = self.out or Path(f"invite-{address.replace(':', '-')}.json")
        write_invite(out, invite)
        show(f"Copy {out} to {address}, and run there: gym-gazebo2 cluster join {invite.address} --invite {out.name}")
