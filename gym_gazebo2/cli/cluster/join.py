"""``gym-gazebo2 cluster join``: a further machine of a cluster."""

from __future__ import annotations

import dataclasses
import socket
import sys
from pathlib import Path

import tyro

from gym_gazebo2.algos.distributed.cluster import check_cluster
from gym_gazebo2.algos.distributed.node import start_node
from gym_gazebo2.algos.security.addresses import find_own_address
from gym_gazebo2.algos.security.certificates import check_address_of_machine
from gym_gazebo2.checks import read_whole
from gym_gazebo2.cli.cluster.printing import show
from gym_gazebo2.cli.command import Command

__all__ = ["Join"]


@dataclasses.dataclass(frozen=True)
class Join(Command):
    """Let this machine join a cluster, and work for it until Ctrl-C or SIGTERM.

    Attributes:
        head: HOST:PORT of the head.
        invite: File that `cluster invite` wrote for this machine.
        address: Address at which the other machines reach this one; None: the one from which it reaches the head.
        cpus: CPUs that workers may use here; None: those of this machine.
        insecure: Accept a connection without TLS, because a VPN encrypts it.
        temp: Parent of the folder for Ray's sockets, logs and spilled objects; a short path.
    """

    head: tyro.conf.Positional[str]
    invite: Path | None = None
    address: str | None = None
    cpus: int | None = None
    insecure: bool = False
    temp: Path = Path("/tmp")

    def run(self) -> None:
        """Join."""
        read_whole("cpus", self.cpus or 0, 0)
        credentials, _ = check_cluster(self.head, self.invite, self.insecure)
        own = check_address_of_machine("address", self.address or find_own_address(self.head))
        show(f"Joining the cluster at {self.head} as {own} …", sys.stderr)
        with start_node(self.head, credentials, own, self.cpus, str(self.temp)) as node:
            show(f"{socket.gethostname()} ({own}) belongs to the cluster at {self.head}.")
            node.wait()
