"""A worker: an actor of Ray that holds environments and a policy, and performs tasks of any shard."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import tempfile
from collections.abc import Mapping
from typing import Any

import torch

from gym_gazebo2.algos.config import from_json
from gym_gazebo2.algos.distributed.machine import FOLDER, check_disk
from gym_gazebo2.algos.distributed.processors import Share, use_share
from gym_gazebo2.algos.distributed.session import import_ray
from gym_gazebo2.algos.distributed.shards import Shard, Weights
from gym_gazebo2.algos.settings.provenance import collect_versions
from gym_gazebo2.algos.vec_env import has_batched_form
from gym_gazebo2.errors import UsageError
from gym_gazebo2.robots import PackedRobot, unpack_robot
from gym_gazebo2.signals import ENDING

__all__ = ["Worker"]


class Worker:
    """Performs tasks, one at a time, in a process of its own. The fleet makes an actor of it.

    The constructor does nothing that can fail: Ray reports an exception there only as the death of the actor.
    """

    def __init__(self) -> None:
        """Begin without environments."""
        self._shard: Shard | None = None

    def prepare(
        self, arguments: Mapping[str, Any], size: int, share: Share, robot: PackedRobot | None = None
    ) -> dict[str, Any]:
        """Make environments and policy.

        Args:
            arguments: The training's configuration, as in ``config.json``.
            size: Arms of a shard.
            share: What it may use of its machine.
            robot: The robot's files, which this machine may not have; None for a built-in one.

        Returns:
            Process id, name of the machine, Ray's id of it, and versions.

        Raises:
            UnknownEnvError: The environment id is not known on this machine.
            BackendError: The simulator does not start.
            WorkerError: The disk of this machine is full.
            RobotError: The robot's files are damaged.
            WriteError: The cache of this machine cannot be written.
        """
        check_disk(os.environ.get(FOLDER, tempfile.gettempdir()))
        # The learner handles these signals, and needs its workers to finish the iteration. Ray ends them with the learner.
        # They were blocked when Ray was started; a simulator must not inherit that, or SIG_IGN.
        for signum in (signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda signum, frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        config = from_json({**arguments, "stored_robot": None if robot is None else str(unpack_robot(robot))})
        # The checks of distributions take a seventh of the time of a forward pass. A policy that has diverged is still noticed:
        # environments refuse actions that are not finite, and torch cannot draw discrete ones.
        torch.distributions.Distribution.set_default_validate_args(False)
        torch.set_num_threads(config.torch_threads)  # Ray sets OMP_NUM_THREADS, and bits are equal for equal numbers only
        use_share(share, is_pinned=config.vec == "pinned")
        if config.vec == "pinned":
            config = dataclasses.replace(config, vec="batched" if has_batched_form(config.env) else "dummy")
        self._shard = Shard(config, size)
        node = import_ray().get_runtime_context().get_node_id()
        return {"pid": os.getpid(), "host": socket.gethostname(), "node": node, "versions": collect_versions()}

    def get_address(self) -> str:
        """Return the address of this machine in the cluster."""
        return str(import_ray().util.get_node_ip_address())

    def perform(self, task: Any, weights: Weights) -> Any:
        """Perform a task; see ``Shard.perform``.

        Raises:
            UsageError: ``prepare`` was not called.
        """
        if self._shard is None:
            raise UsageError("A worker was given a task before prepare(). Call prepare() first.")
        return self._shard.perform(task, weights)

    def close(self) -> None:
        """Release the environments."""
        if self._shard is not None:
            self._shard.close()
