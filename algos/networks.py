"""Networks described by plain values, as in the old baselines' ``mlp(num_layers, num_hidden, layer_norm)``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from torch import nn

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError

__all__ = [
    "ACTIVATIONS",
    "EXTRACTORS",
    "OPTIMIZERS",
    "CenteredCNN",
    "GoalExtractor",
    "NormalizedActivation",
    "ObjectGoalExtractor",
    "describe_mlp",
    "parse_policy_kwargs",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "RMSprop": torch.optim.RMSprop,
    "RMSpropTFLike": RMSpropTFLike,
    "SGD": torch.optim.SGD,
}
GOAL_KEYS = ("observation", "achieved_goal", "desired_goal")
"""Keys of a goal environment's observations."""
NUM_LAYERS, NUM_HIDDEN = 2, 64
"""Default number and default width of the hidden layers. Each is used if only the other one is given."""


class NormalizedActivation(nn.Sequential):
    """Layer normalisation with gain and bias (Ba et al., arXiv:1607.06450), then an activation."""

    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        """Compose normalisation and activation.

        Args:
            width: Width of the preceding layer.
            activation: Class of the activation.
        """
        super().__init__(nn.LayerNorm(width), activation())


class GoalExtractor(BaseFeaturesExtractor):
    """Gives a network the vector from the tool to the goal, at two scales, instead of the tool's position.

    From two positions in metres the network would have to learn their difference to millimetres.
    """

    FAR, NEAR = 0.2, 0.02
    """Scales of the vector [m]. At the near scale it saturates, through tanh."""

    def __init__(self, observation_space: spaces.Dict) -> None:
        """Count the features.

        Args:
            observation_space: Observation space of a goal environment: "observation", "achieved_goal" and "desired_goal", the
                goals as points in metres.

        Raises:
            InvalidArgumentError: The observation space is another one.
        """
        if not isinstance(observation_space, spaces.Dict) or set(observation_space) != set(GOAL_KEYS):
            sentence = f"The features extractor 'goal' needs an environment whose observations are {', '.join(GOAL_KEYS)}."
            raise InvalidArgumentError("features_extractor_class", "goal", sentence=sentence)
        sizes = {key: spaces.flatdim(space) for key, space in observation_space.items()}
        super().__init__(observation_space, sizes["observation"] + 3 * sizes["desired_goal"])

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the features (n, size)."""
        goal = observations["desired_goal"]
        way = goal - observations["achieved_goal"]  # from the tool to the goal [m]
        return torch.cat([observations["observation"], goal, way / self.FAR, torch.tanh(way / self.NEAR)], dim=1)


class ObjectGoalExtractor(GoalExtractor):
    """Gives a network the vector from the tool to the object, too: the tool must first go there.

    The tool's position is in the first three components of the observation, that of the object in the first three of the
    achieved goal, as in the ids of panda-gym's tasks.
    """

    def __init__(self, observation_space: spaces.Dict) -> None:
        """Count the features; see ``GoalExtractor``.

        Args:
            observation_space: Observation space of a goal environment, whose achieved goal begins with a point in metres.

        Raises:
            InvalidArgumentError: The observation space is another one.
        """
        super().__init__(observation_space)
        self._features_dim += 6  # the vector's three components, at both scales

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the features (n, size)."""
        way = observations["achieved_goal"][:, :3] - observations["observation"][:, :3]  # from the tool to the object [m]
        return torch.cat([super().forward(observations), way / self.FAR, torch.tanh(way / self.NEAR)], dim=1)


class CenteredCNN(NatureCNN):
    """The convolutional network of ``CnnPolicy``, on images from which a mean image is subtracted.

    In most pixels, the images of a fixed camera are equal. Without the mean, a small object changes the input by a percent,
    and with a learning rate of 1e-3 the network soon gives the same features for all images.

    DAgger learns the mean while it trains. Other algorithms leave it as it is: they compare policies before and after an
    update, which must see the same input. So they get a mean only from a run of DAgger (``--from``), and zero otherwise.

    Attributes:
        is_tracking: Whether the mean follows the images in training. It is not stored.
        running_mean: (channels, height, width) mean of the images, between 0 and 1.
        running_count: Number of batches that it has seen.
    """

    CONTRAST = 4.0
    """Factor on the differences from the mean."""
    MEMORY = 1000.0
    """Batches over which the running mean averages."""

    # stable-baselines3 copies buffers to target networks if their names begin with "running_".
    running_mean: torch.Tensor
    running_count: torch.Tensor

    def __init__(self, observation_space: spaces.Box, features_dim: int = 512, normalized_image: bool = False) -> None:
        """Build the network.

        Args:
            observation_space: Space of the images, channels first.
            features_dim: Number of features.
            normalized_image: Whether the space is from 0 to 1, in place of bytes.

        Raises:
            InvalidArgumentError: The observation is not a single image.
        """
        if not is_image_space(observation_space, check_channels=False, normalized_image=normalized_image):
            sentence = "The features extractor 'centered_image' needs an environment whose observation is a single image."
            raise InvalidArgumentError("features_extractor_class", "centered_image", sentence=sentence)
        super().__init__(observation_space, features_dim, normalized_image)
        self.is_tracking = False
        self.register_buffer("running_mean", torch.zeros(observation_space.shape))
        self.register_buffer("running_count", torch.zeros(()))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return the features (n, features_dim) of images (n, channels, height, width) between 0 and 1."""
        if self.training and self.is_tracking:
            with torch.no_grad():
                self.running_count += 1.0
                difference = observations.mean(dim=0) - self.running_mean
                self.running_mean += difference / self.running_count.clamp(max=self.MEMORY)
        features: torch.Tensor = super().forward(self.CONTRAST * (observations - self.running_mean))
        return features


EXTRACTORS: dict[str, type[BaseFeaturesExtractor]] = {
    "goal": GoalExtractor,
    "object_goal": ObjectGoalExtractor,
    "centered_image": CenteredCNN,
}
"""Name of a features extractor → class."""


def describe_mlp(
    num_layers: int | None, num_hidden: int | None, layer_norm: bool | None, activation: str | None
) -> dict[str, Any]:
    """Return the ``policy_kwargs`` of a network; None leaves a property at its default.

    Args:
        num_layers: Number of hidden layers of each network.
        num_hidden: Width of the hidden layers.
        layer_norm: Whether each hidden layer is normalised before its activation.
        activation: Row of ``ACTIVATIONS``.
    """
    kwargs: dict[str, Any] = {}
    if num_layers is not None or num_hidden is not None:
        layers = NUM_LAYERS if num_layers is None else num_layers
        kwargs["net_arch"] = [NUM_HIDDEN if num_hidden is None else num_hidden] * layers
    if layer_norm is not None:
        kwargs["layer_norm"] = layer_norm
    if activation is not None:
        kwargs["activation_fn"] = activation
    return kwargs


def parse_policy_kwargs(values: Mapping[str, Any], default_activation: str) -> dict[str, Any]:
    """Return ``policy_kwargs`` for stable-baselines3 from plain values.

    Args:
        values: Keywords of the policy, with activation, optimizer and features extractor by name; and ``layer_norm``, which
            needs hidden layers of one width.
        default_activation: The activation of the policy's class, before which ``layer_norm`` normalises.

    Raises:
        UnknownNameError: There is no such activation, optimizer or features extractor.
        InvalidArgumentError: ``layer_norm`` is given with hidden layers of several widths.
    """
    kwargs = dict(values)
    layer_norm = kwargs.pop("layer_norm", False)
    if layer_norm or "activation_fn" in kwargs:
        name = kwargs.get("activation_fn", default_activation)
        if name not in ACTIVATIONS:
            raise UnknownNameError("activation", name, ACTIVATIONS)
        kwargs["activation_fn"] = _make_activation(name, kwargs, layer_norm)
    if (optimizer := kwargs.get("optimizer_class")) is not None:
        if optimizer not in OPTIMIZERS:
            raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
        kwargs["optimizer_class"] = OPTIMIZERS[optimizer]
    if (extractor := kwargs.get("features_extractor_class")) is not None:
        if extractor not in EXTRACTORS:
            raise UnknownNameError("features extractor", extractor, EXTRACTORS)
        kwargs["features_extractor_class"] = EXTRACTORS[extractor]
    return kwargs


def _make_activation(name: str, kwargs: dict[str, Any], layer_norm: bool) -> Callable[[], nn.Module]:
    """Return the activation that stable-baselines3 makes once per layer, and set ``net_arch`` in ``kwargs`` if it is missing.

    stable-baselines3 calls the activation's class without arguments, whereas LayerNorm needs the width: therefore one width.
    """
    if not layer_norm:
        return ACTIVATIONS[name]
    net_arch = kwargs.setdefault("net_arch", [NUM_HIDDEN] * NUM_LAYERS)
    lists = net_arch.values() if isinstance(net_arch, dict) else [net_arch]
    widths = {width for layers in lists for width in layers}
    if len(widths) != 1:
        raise InvalidArgumentError("net_arch", net_arch, "hidden layers of one width, which layer_norm=True needs")
    return functools.partial(NormalizedActivation, widths.pop(), ACTIVATIONS[name])
