"""``gym-gazebo2 cluster status``: the machines of a cluster."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gym_gazebo2.algos.distributed.cluster import check_cluster
from gym_gazebo2.algos.security.head_folder import HeadFolder, find_default_folder
from gym_gazebo2.cli.command import Command

__all__ = ["Status"]


@dataclasses.dataclass(frozen=True)
class Status(Command):
    """List the machines of a cluster, with their CPUs.

    Attributes:
        address: HOST:PORT of the head; None: the cluster whose head runs on this machine.
        invite: File of `cluster invite`; not needed on the head.
        insecure: Accept a connection without TLS, because a VPN encrypts it.
    """

    address: str | None = None
    invite: Path | None = None
    insecure: bool = False

    def run(self) -> None:
        """Ask, and print."""
        address = self.address or HeadFolder(find_default_folder()).read().address
        _, state = check_cluster(address, self.invite, self.insecure)
        table = Table(title=Text(f"Cluster at {address}"))  # plain text: rich takes [fd00::1] for a style
        for heading in ("machine", "address", "CPUs", ""):
            table.add_column(heading, justify="right" if heading == "CPUs" else "left")
        for node in state.alive:
            table.add_row(node.host, node.address, f"{node.cpus:g}", "head" if node.is_head else "")
        Console().print(table)
