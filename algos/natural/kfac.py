"""K-FAC: natural gradients from a Kronecker-factored approximation of the Fisher matrix.

The Fisher block of a layer is approximated by A ⊗ G: A is the second moment of the layer's inputs, G that of the gradients of
the log-likelihood with respect to its outputs. This module knows nothing of reinforcement learning: it takes
log-likelihoods of outcomes that the caller sampled from the model, and turns gradients into directions.

Source: Martens and Grosse, arXiv:1503.05671.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gym_gazebo2.algos.natural.factors import compute_factors, solve, update_average
from gym_gazebo2.algos.natural.layers import BLOCKS, make_blocks
from gym_gazebo2.checks import read_number, read_whole
from gym_gazebo2.errors import InvalidArgumentError, UsageError

__all__ = ["KFAC", "check_claims", "get_gradient"]

COPIED = ("damping", "decay", "interval", "momentum", "params", "exact_fisher", "blocks", "width")
"""Attributes of ``KFAC`` that a copy needs besides those of every optimizer."""


class KFAC(torch.optim.Optimizer):
    """Natural-gradient optimizer for linear, convolutional and layer-norm layers.

    An update is a forward pass inside ``capture``, then ``update_curvature`` with log-likelihoods of *sampled* outcomes, and,
    with gradients in place, ``step``; or ``compute_direction`` and ``move``, for callers that choose the length themselves.
    The model is never changed: hooks live as long as ``capture``, tensors live in ``state``.

    Example:
        >>> with kfac.capture():
        ...     distribution = model(inputs)
        >>> kfac.update_curvature(distribution.log_prob(distribution.sample()))
        >>> (-distribution.log_prob(targets).mean()).backward()
        >>> kfac.step()

    Attributes:
        params: The parameters in the order of the model; directions come in the same order.
        blocks: One Fisher block per layer.
        width: Size of the largest factor.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Collection[nn.Parameter] | None = None,
        exact_fisher: Mapping[nn.Parameter, float] | None = None,
        *,
        lr: float = 1.0,
        damping: float = 0.3,
        decay: float | None = None,
        interval: int | None = None,
        momentum: float = 0.0,
    ) -> None:
        """Assign every parameter to exactly one block.

        Args:
            model: Module that holds the layers.
            parameters: The parameters to optimise; all trainable parameters of the model by default.
            exact_fisher: Parameters outside any layer, with the constant on the diagonal of their Fisher block.
            lr: Length of ``step`` along the direction.
            damping: λ, added to the eigenvalues of A ⊗ G.
            decay: Weight of the past in the running averages, in [0, 1). None chooses it per factor, from the ratio of
                samples to width: zero where a batch has enough samples.
            interval: Curvature updates between two eigendecompositions. None chooses it per factor: 1, and 10 where the
                factor is at least 1024 wide.
            momentum: Weight of the previous direction, in [0, 1).

        Raises:
            InvalidArgumentError: A setting is out of range, or a parameter belongs to no supported layer.
        """
        self.damping = read_number("damping", damping, "a finite positive number", lambda x: x > 0)
        self.decay = None if decay is None else read_number("decay", decay, "None or a number in [0, 1)", lambda x: 0 <= x < 1)
        self.interval = None if interval is None else read_whole("interval", interval)
        self.momentum = read_number("momentum", momentum, "a number in [0, 1)", lambda x: 0 <= x < 1)
        lr = read_number("lr", lr, "a finite positive number", lambda x: x > 0)
        wanted = None if parameters is None else set(parameters)
        self.params = [p for p in model.parameters() if p.requires_grad and (wanted is None or p in wanted)]
        self.exact_fisher = dict(exact_fisher or {})
        self.blocks = make_blocks(model, set(self.params))
        check_claims(model, self, wanted or set())
        self.width = max(max(block.to_matrix(block.parameters).shape) for block in self.blocks)
        # Index of a block → its layer's inputs and the edge of its outputs, from capture() to update_curvature().
        self._tape: dict[int, tuple[torch.Tensor, GradientEdge]] = {}
        super().__init__(self.params, {"lr": lr})

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Record inputs and outputs of every layer during the forward pass inside the context."""
        self._tape = {}
        hooks = [b.layer.register_forward_hook(partial(self._record, index)) for index, b in enumerate(self.blocks)]
        try:
            yield
        finally:
            for hook in hooks:  # a hook that stayed would be pickled with the model, and record every later pass
                hook.remove()

    def update_curvature(self, *log_likelihoods: torch.Tensor) -> None:
        """Average the factors of the captured pass into the curvature (Martens and Grosse, section 5).

        The graph is kept, and no gradient is left on the parameters.

        Args:
            log_likelihoods: Log-likelihood (n,) of one outcome per input, sampled from the model. Several log-likelihoods are
                taken as independent of each other, so that their contributions to G add up.

        Raises:
            UsageError: No pass was captured, or one that misses a layer.
            FloatingPointError: A factor is not finite; the curvature stays as it was.
        """
        inputs, edges = self._take_tape()
        # Row i of the gradient of the sum is the gradient of sample i, as no layer mixes samples.
        rows = [torch.autograd.grad(ll.sum(), edges, retain_graph=True, allow_unused=True) for ll in log_likelihoods]
        with torch.no_grad():
            passes = zip(self.blocks, inputs, zip(*rows, strict=True), strict=True)
            factors = [compute_factors(block, x, gradients) for block, x, gradients in passes]
            # A second loop: every factor is known to be finite before the first average changes.
            for block, (a, g) in zip(self.blocks, factors, strict=True):
                update_average(self.state[block.parameters[0]], a, g, len(inputs[0]), self.decay, self.interval)

    @torch.no_grad()
    def compute_direction(self, gradients: Sequence[torch.Tensor] | None = None) -> list[torch.Tensor]:
        """Turn the gradients into the natural direction, momentum included.

        Args:
            gradients: One tensor per parameter in ``params``; by default the gradients that ``backward`` left there.

        Returns:
            One tensor per parameter; the caller moves against it.

        Raises:
            UsageError: A gradient or the curvature is missing.
        """
        given = [get_gradient(p) for p in self.params] if gradients is None else gradients
        ordinary = dict(zip(self.params, given, strict=True))
        natural: dict[nn.Parameter, torch.Tensor] = {}
        for block in self.blocks:
            gradient = block.to_matrix([ordinary[p] for p in block.parameters])
            solution = solve(self.state[block.parameters[0]], gradient, self.damping)
            natural.update(zip(block.parameters, block.from_matrix(solution), strict=True))
        for parameter, fisher in self.exact_fisher.items():
            natural[parameter] = ordinary[parameter] / (fisher + self.damping)
        return [self._add_momentum(p, natural[p]) for p in self.params]

    @torch.no_grad()
    def move(self, direction: Sequence[torch.Tensor], step_size: float) -> None:
        """Move the parameters by ``step_size`` against ``direction``."""
        for parameter, change in zip(self.params, direction, strict=True):
            parameter.sub_(change, alpha=step_size)

    @torch.no_grad()
    def set_parameters(self, values: Sequence[torch.Tensor]) -> None:
        """Set the parameters to ``values``, one tensor per parameter."""
        for parameter, value in zip(self.params, values, strict=True):
            parameter.copy_(value)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move by ``lr`` against the direction.

        Args:
            closure: Called first if given, as by every torch optimizer. K-FAC does not need it.

        Returns:
            The closure's result, or None.
        """
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        self.move(self.compute_direction(), self.param_groups[0]["lr"])
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore curvature, momentum and ``lr``; every other setting stays as constructed.

        Args:
            state_dict: Result of ``state_dict`` of another K-FAC on an equal model.

        Raises:
            InvalidArgumentError: It belongs to another optimizer.
        """
        # Torch itself would take Adam's state without a word, if the numbers of parameters agree.
        settings = set(state_dict["param_groups"][0]) - {"params"}
        own = set(self.param_groups[0]) - {"params"}
        if settings != own:
            sentence = (
                f"state_dict has the settings {sorted(settings)} of another optimizer. K-FAC's settings are {sorted(own)}."
            )
            raise InvalidArgumentError("state_dict", sorted(settings), sentence=sentence)
        super().load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        """Return all that a copy or a pickle needs: torch's own method would leave out blocks and settings."""
        # The tape refers to a graph, which cannot be pickled.
        return {**super().__getstate__(), **{name: getattr(self, name) for name in COPIED}, "_tape": {}}

    def _record(self, index: int, layer: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if index in self._tape:
            raise UsageError(f"A second pass ran through {layer} inside capture(). Run the model once per capture().")
        if not output.requires_grad:
            raise UsageError(f"The output of {layer} has no gradient inside capture(). Run the model outside of no_grad().")
        # Keep the edge, not the tensor: after an in-place activation such as ReLU(inplace=True), the tensor stands for the
        # activation's output in the graph, whereas the edge still stands for the layer's.
        self._tape[index] = (args[0].detach(), get_gradient_edge(output))

    def _take_tape(self) -> tuple[list[torch.Tensor], list[GradientEdge]]:
        missing = [block.layer for index, block in enumerate(self.blocks) if index not in self._tape]
        if missing:
            raise UsageError(f"No pass through {missing} was captured. Run the whole model inside capture() first.")
        tape = [self._tape[index] for index in range(len(self.blocks))]
        self._tape = {}  # one use: a second update would count the same batch twice, and keep its graph alive
        return [inputs for inputs, _ in tape], [edge for _, edge in tape]

    def _add_momentum(self, parameter: nn.Parameter, direction: torch.Tensor) -> torch.Tensor:
        if self.momentum == 0:
            return direction
        state = self.state[parameter]
        state["momentum_buffer"] = self.momentum * state.get("momentum_buffer", 0.0) + direction
        return torch.clone(state["momentum_buffer"])  # a copy, which the caller may change


def check_claims(model: nn.Module, kfac: KFAC, wanted: Collection[nn.Parameter]) -> None:
    """Check that there are layers, and that every parameter belongs to exactly one block.

    Args:
        model: The model.
        kfac: Its optimizer, with its blocks.
        wanted: Parameters that the caller asked for.

    Raises:
        InvalidArgumentError: There is no layer, or a parameter belongs to no block or to several.
    """
    layers = ", ".join(layer.__name__ for layer in BLOCKS)
    # Counted with multiplicity: tied weights would belong to two blocks.
    claims = Counter([p for block in kfac.blocks for p in block.parameters] + list(kfac.exact_fisher))
    names, params = {p: name for name, p in model.named_parameters()}, set(kfac.params)
    every = dict.fromkeys([*kfac.params, *claims, *wanted])
    lost = [names.get(p, f"{tuple(p.shape)} of no layer") for p in every if claims[p] != 1 or p not in params]
    if lost:
        sentence = (
            f"K-FAC cannot train the parameters {lost}. Each must be trainable, and either belong to exactly one layer "
            f"({layers}) that is trained as a whole, or have a block in exact_fisher."
        )
        raise InvalidArgumentError("parameters", lost, sentence=sentence)
    if not kfac.blocks:
        sentence = f"K-FAC found no layer with trainable parameters in the model. It supports {layers}."
        raise InvalidArgumentError("parameters", lost, sentence=sentence)


def get_gradient(parameter: nn.Parameter) -> torch.Tensor:
    """Return the gradient of a parameter.

    Raises:
        UsageError: The parameter has no gradient.
    """
    if parameter.grad is None:
        shape = tuple(parameter.shape)
        raise UsageError(f"A parameter of shape {shape} has no gradient. Call backward() before asking for a direction.")
    return parameter.grad
