"""What K-FAC needs to know about a layer: its inputs, its output gradients, and its parameters as one matrix.

Every block speaks of inputs (n, t, d_in) and gradients (n, t, d_out): n samples of t positions. A linear layer has one
position, a convolution as many as its output has pixels, so that one pair of formulas serves both.
"""

from collections.abc import Collection, Sequence

import torch as th
from torch import nn
from torch.nn import functional as F

from gym_gazebo2.errors import InvalidArgumentError


class LinearBlock:
    """Fisher block of `nn.Linear`, the bias in homogeneous coordinates (Martens and Grosse, arXiv:1503.05671)."""

    def __init__(self, layer: nn.Module) -> None:
        """Read the layer without changing it.

        Args:
            layer: The layer whose own parameters form the block.

        Raises:
            InvalidArgumentError: If some parameters of the layer are frozen and others are not.
        """
        self.layer = layer
        self.parameters = tuple(layer.parameters(recurse=False))
        frozen = [name for name, p in layer.named_parameters(recurse=False) if not p.requires_grad]
        if frozen:
            raise InvalidArgumentError(str(layer), f"frozen in {frozen}", "a layer that is trainable as a whole")

    def expand_inputs(self, inputs: th.Tensor) -> th.Tensor:
        """Give the inputs (n, ..., d) of the layer as (n, t, d_in), a one appended where there is a bias."""
        return self._append_one(inputs.reshape(len(inputs), -1, inputs.shape[-1]))

    def expand_gradients(self, inputs: th.Tensor, gradients: th.Tensor) -> th.Tensor:
        """Give the gradients (n, ...) with respect to the layer's outputs as (n, t, d_out)."""
        return gradients.reshape(len(gradients), -1, gradients.shape[-1])

    def to_matrix(self, tensors: Sequence[th.Tensor]) -> th.Tensor:
        """Join tensors shaped like the parameters into one matrix (d_out, d_in)."""
        return th.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], dim=1)

    def from_matrix(self, matrix: th.Tensor) -> list[th.Tensor]:
        """Undo `to_matrix`."""
        columns = [p.numel() // len(p) for p in self.parameters]
        parts = th.split(matrix, columns, dim=1)
        return [part.reshape(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def _append_one(self, inputs: th.Tensor) -> th.Tensor:
        return inputs if self.layer.bias is None else F.pad(inputs, (0, 1), value=1.0)


class Conv2dBlock(LinearBlock):
    """Fisher block of `nn.Conv2d`: a linear layer over patches (Grosse and Martens, arXiv:1602.01407)."""

    layer: nn.Conv2d

    def __init__(self, layer: nn.Conv2d) -> None:
        """Check that the patches can be cut out.

        Args:
            layer: Convolution with one group and numeric zero padding.

        Raises:
            InvalidArgumentError: If the convolution is grouped or padded otherwise.
        """
        super().__init__(layer)
        if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            settings = {"groups": layer.groups, "padding_mode": layer.padding_mode, "padding": layer.padding}
            raise InvalidArgumentError(str(layer), settings, "one group, padding_mode 'zeros' and padding in pixels")

    def expand_inputs(self, inputs: th.Tensor) -> th.Tensor:
        """Cut images (n, channels, height, width) into patches (n, t, d_in)."""
        layer = self.layer
        patches = F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return self._append_one(patches.transpose(1, 2))

    def expand_gradients(self, inputs: th.Tensor, gradients: th.Tensor) -> th.Tensor:
        """Give the gradients (n, d_out, height, width) as (n, t, d_out)."""
        return gradients.flatten(2).transpose(1, 2)


class LayerNormBlock(LinearBlock):
    """Exact Fisher block of `nn.LayerNorm`: its few parameters are one vector, seen as a matrix of one column."""

    layer: nn.LayerNorm

    def expand_inputs(self, inputs: th.Tensor) -> th.Tensor:
        """Give (n, 1, 1) ones: the whole curvature lies in the gradients."""
        return inputs.new_ones(len(inputs), 1, 1)

    def expand_gradients(self, inputs: th.Tensor, gradients: th.Tensor) -> th.Tensor:
        """Give each sample's gradient (n, 1, d_out) with respect to gain and bias, summed over positions."""
        layer = self.layer
        normalized = F.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
        parts = [gradients * normalized, gradients][: len(self.parameters)]
        size = self.parameters[0].numel()
        return th.cat([part.reshape(len(part), -1, size).sum(dim=1, keepdim=True) for part in parts], dim=2)

    def to_matrix(self, tensors: Sequence[th.Tensor]) -> th.Tensor:
        """Stack gain and bias into one column."""
        return th.cat([tensor.reshape(-1, 1) for tensor in tensors])

    def from_matrix(self, matrix: th.Tensor) -> list[th.Tensor]:
        """Undo `to_matrix`."""
        parts = matrix.chunk(len(self.parameters))
        return [part.reshape(p.shape) for part, p in zip(parts, self.parameters, strict=True)]


BLOCKS: dict[type[nn.Module], type[LinearBlock]] = {
    nn.Linear: LinearBlock,
    nn.Conv2d: Conv2dBlock,
    nn.LayerNorm: LayerNormBlock,
}


def make_blocks(model: nn.Module, parameters: Collection[nn.Parameter]) -> list[LinearBlock]:
    """Make a block for each supported layer of the model that holds one of `parameters`."""
    layers = [m for m in model.modules() if any(p in parameters for p in m.parameters(recurse=False))]
    return [BLOCKS[type(layer)](layer) for layer in layers if type(layer) in BLOCKS]
