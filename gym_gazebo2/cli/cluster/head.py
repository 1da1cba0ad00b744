"""``gym-gazebo2 cluster head``: the first machine of a cluster."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from gym_gazebo2.algos.distributed.node import start_head
from gym_gazebo2.algos.security.addresses import is_loopback, join_address, split_address
from gym_gazebo2.algos.security.certificates import check_address_of_machine
from gym_gazebo2.algos.security.head_folder import HeadFolder, find_default_folder
from gym_gazebo2.checks import read_whole
from gym_gazebo2.cli.cluster.printing import show
from gym_gazebo2.cli.command import Command

__all__ = ["Head"]


@dataclasses.dataclass(frozen=True)
class Head(Command):
    """Start a Ray cluster on this machine, and serve it until Ctrl-C or SIGTERM.

    Attributes:
        address: Address at which the other machines reach this one. With 127.0.0.1, no other machine can join.
        port: Port of the cluster.
        cpus: CPUs that workers may use here; None: those of this machine.
        insecure: Use no TLS, because a VPN such as WireGuard encrypts the traffic between the machines.
        folder: Folder of the CA and the token, mode 0700; None: a folder below ~/.local/state, or below XDG_STATE_HOME.
    """

    address: str = "127.0.0.1"
    port: int = 6379
    cpus: int | None = None
    insecure: bool = False
    folder: Path | None = None

    def run(self) -> None:
        """Serve."""
        host = check_address_of_machine("address", self.address)
        read_whole("cpus", self.cpus or 0, 0)
        address = join_address(host, self.port)
        split_address(address)
        is_local, folder = is_loopback(host), HeadFolder(self.folder or find_default_folder())
        credentials = folder.prepare(address, self.insecure and not is_local, has_tls=not (self.insecure or is_local))
        show(f"Starting the head of a cluster at {address} …", sys.stderr)
        with start_head(address, credentials, self.cpus) as node:
            show(f"The cluster is ready at {address}.")
            show(f"Train with: gym-gazebo2 train --workers N --address {address}")
            if not is_local:
                option = "" if self.folder is None else f" --folder {self.folder}"
                show("For each other machine, with its own ADDRESS:")
                show(f"  on this machine: gym-gazebo2 cluster invite ADDRESS --out invite.json{option}")
                show(
                    f"  on the other machine, after copying that file: gym-gazebo2 cluster join {address} --invite invite.json"
                )
            node.wait()
