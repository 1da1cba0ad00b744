"""What K-FAC needs to know of a layer: its inputs, its output gradients, and its parameters as one matrix.

Every block works on inputs (n, t, d_in) and gradients (n, t, d_out): n samples with t positions each. A linear layer has one
position, a convolution one per pixel of its output, so that the same formulas serve both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from gym_gazebo2.errors import InvalidArgumentError

__all__ = ["BLOCKS", "Conv2dBlock", "LayerNormBlock", "LinearBlock", "make_blocks"]


class LinearBlock:
    """Fisher block of ``nn.Linear`` (Martens and Grosse, arXiv:1503.05671); a bias is the weight of an added input of 1."""

    def __init__(self, layer: nn.Module) -> None:
        """Read the layer without changing it.

        Args:
            layer: The layer whose own parameters form the block.

        Raises:
            InvalidArgumentError: Some parameters of the layer are frozen and others are not.
        """
        self.layer = layer
        self.parameters = tuple(layer.parameters(recurse=False))
        frozen = [name for name, p in layer.named_parameters(recurse=False) if not p.requires_grad]
        if frozen:
            # A block is one matrix with one pair of factors: a direction for a part of it would not be A ⊗ G's.
            sentence = (
                f"The parameters {frozen} of {layer} are frozen, the others are not. Freeze the whole layer, or none of it."
            )
            raise InvalidArgumentError(str(layer), frozen, sentence=sentence)

    def expand_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the inputs (n, ..., d) of the layer as (n, t, d_in), with a 1 appended if the layer has a bias."""
        return self._append_one(inputs.reshape(len(inputs), -1, inputs.shape[-1]))

    def expand_gradients(self, inputs: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Return the gradients (n, ...) with respect to the layer's outputs as (n, t, d_out)."""
        return gradients.reshape(len(gradients), -1, gradients.shape[-1])

    def to_matrix(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Join tensors shaped like the parameters into one matrix (d_out, d_in)."""
        # Kernels (d_out, channels, height, width) flatten in the order of F.unfold's patches; the bias is the last column.
        return torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], dim=1)

    def from_matrix(self, matrix: torch.Tensor) -> list[torch.Tensor]:
        """Split such a matrix into tensors shaped like the parameters."""
        columns = [p.numel() // len(p) for p in self.parameters]
        parts = torch.split(matrix, columns, dim=1)
        return [part.reshape(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def _append_one(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs if self.layer.bias is None else F.pad(inputs, (0, 1), value=1.0)


class Conv2dBlock(LinearBlock):
    """Fisher block of ``nn.Conv2d``: a linear layer over patches (Grosse and Martens, arXiv:1602.01407)."""

    layer: nn.Conv2d

    def __init__(self, layer: nn.Conv2d) -> None:
        """Check that the patches can be cut out.

        Args:
            layer: Convolution with one group, and zero padding given as numbers (not as "same").

        Raises:
            InvalidArgumentError: The convolution is grouped or padded otherwise.
        """
        super().__init__(layer)
        # F.unfold knows neither groups, nor other padding than zeros, nor padding="same".
        if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            settings = {"groups": layer.groups, "padding_mode": layer.padding_mode, "padding": layer.padding}
            sentence = (
                f"K-FAC does not support {layer} with {settings}. Use groups=1, padding_mode='zeros' and padding in pixels."
            )
            raise InvalidArgumentError(str(layer), settings, sentence=sentence)

    def expand_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Cut images (n, channels, height, width) into patches (n, t, d_in)."""
        layer = self.layer
        patches = F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return self._append_one(patches.transpose(1, 2))

    def expand_gradients(self, inputs: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Return the gradients (n, d_out, height, width) as (n, t, d_out)."""
        return gradients.flatten(2).transpose(1, 2)


class LayerNormBlock(LinearBlock):
    """Exact Fisher block of ``nn.LayerNorm``.

    Gain and bias are applied element by element, so the gradient with respect to them has no outer-product form that A ⊗ G
    could approximate. But they are few: as one column (2 d, 1) with A = (1), G is the exact second moment E[g gᵀ] (2 d, 2 d)
    of their gradients g, and the formulas of all other blocks apply.
    """

    layer: nn.LayerNorm

    def expand_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return ones (n, 1, 1): A = (1), and the whole curvature is in the gradients."""
        return inputs.new_ones(len(inputs), 1, 1)

    def expand_gradients(self, inputs: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Return each sample's gradient (n, 1, d_out) with respect to gain and bias, summed over positions."""
        layer = self.layer
        # outputs = gain · normalized + bias, so ∂/∂gain = gradient · normalized and ∂/∂bias = gradient.
        normalized = F.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
        parts = [gradients * normalized, gradients][: len(self.parameters)]  # LayerNorm(bias=False) has a gain only
        size = self.parameters[0].numel()
        return torch.cat([part.reshape(len(part), -1, size).sum(dim=1, keepdim=True) for part in parts], dim=2)

    def to_matrix(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Stack gain and bias into one column."""
        return torch.cat([tensor.reshape(-1, 1) for tensor in tensors])

    def from_matrix(self, matrix: torch.Tensor) -> list[torch.Tensor]:
        """Split such a column into gain and bias."""
        parts = matrix.chunk(len(self.parameters))
        return [part.reshape(p.shape) for part, p in zip(parts, self.parameters, strict=True)]


BLOCKS: dict[type[nn.Module], type[LinearBlock]] = {
    nn.Linear: LinearBlock,
    nn.Conv2d: Conv2dBlock,
    nn.LayerNorm: LayerNormBlock,
}
"""Type of a layer → its Fisher block. A subclass is another type, as it may compute something else in its forward pass."""


def make_blocks(model: nn.Module, parameters: Collection[nn.Parameter]) -> list[LinearBlock]:
    """Make a block for each supported layer of the model that holds one of ``parameters``."""
    layers = [m for m in model.modules() if any(p in parameters for p in m.parameters(recurse=False))]
    return [BLOCKS[type(layer)](layer) for layer in layers if type(layer) in BLOCKS]
