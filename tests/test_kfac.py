"""K-FAC against dense matrices, hand-computed numbers and its own invariances."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from gym_gazebo2.algos.natural.factors import choose_interval, compute_factors, decompose
from gym_gazebo2.algos.natural.kfac import KFAC
from gym_gazebo2.algos.natural.layers import Conv2dBlock, LayerNormBlock, LinearBlock
from gym_gazebo2.errors import InvalidArgumentError


@pytest.fixture(autouse=True)
def _double_precision():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def update(kfac: KFAC, model: nn.Module, inputs: torch.Tensor) -> None:
    """Feed one pass with Gaussian outcomes of unit variance, sampled from the model."""
    with kfac.capture():
        outputs = model(inputs)
    samples = outputs.detach() + torch.randn_like(outputs)
    kfac.update_curvature(-0.5 * (outputs - samples).square().flatten(1).sum(dim=1))


def set_random_gradients(model: nn.Module) -> None:
    for p in model.parameters():
        p.grad = torch.randn_like(p)


def compute_sample_gradients(model: nn.Module, log_likelihoods: torch.Tensor) -> torch.Tensor:
    """Compute the dense gradient of each sample's log-likelihood, (n, number of parameters)."""
    rows = [torch.autograd.grad(value, list(model.parameters()), retain_graph=True) for value in log_likelihoods]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def compute_dense_block(kfac: KFAC, index: int) -> torch.Tensor:
    """Compute A ⊗ G in the order of the layer's (weight, bias), from the state."""
    block = kfac.blocks[index]
    state = kfac.state[block.parameters[0]]
    a, g = (state[f"{name}_factor"] / state[f"{name}_weight"] for name in ("input", "output"))
    order = block.to_matrix([i.reshape(p.shape) for i, p in zip(make_order(block), block.parameters, strict=True)])
    permutation = order.flatten().argsort()
    return torch.kron(g, a)[permutation][:, permutation]


def make_order(block: LinearBlock) -> tuple[torch.Tensor, ...]:
    sizes = [p.numel() for p in block.parameters]
    return torch.arange(sum(sizes)).split(sizes)


def test_linear_block_with_exact_output_factor_is_the_dense_fisher():
    """For one linear layer with Gaussian outputs the Kronecker factorisation is no approximation."""
    model, inputs, std = nn.Linear(4, 3), torch.randn(50, 4), torch.tensor([0.5, 1.0, 2.0])
    kfac = KFAC(model)
    with kfac.capture():
        outputs = model(inputs)
    scaled = outputs / std
    kfac.update_curvature(*scaled.unbind(dim=1))
    dense = sum(rows.T @ rows for rows in (compute_sample_gradients(model, s) for s in scaled.unbind(dim=1))) / len(inputs)
    torch.testing.assert_close(compute_dense_block(kfac, 0), dense, rtol=0, atol=1e-10)


def test_sampled_output_factor_converges_with_the_root_of_n():
    model = nn.Linear(4, 3)

    def compute_error(n: int) -> float:
        kfac = KFAC(model)
        update(kfac, model, torch.randn(n, 4))
        # Inputs are standard normal and outputs of unit variance: both factors are the identity.
        return float(torch.stack([(f - torch.eye(len(f))).norm() for f in get_factors(kfac)]).norm())

    ratio = np.mean([compute_error(100) for _ in range(20)]) / np.mean([compute_error(10_000) for _ in range(20)])
    assert 8 < ratio < 12.5


def get_factors(kfac: KFAC) -> list[torch.Tensor]:
    state = kfac.state[kfac.blocks[0].parameters[0]]
    return [state["input_factor"], state["output_factor"]]


def test_every_block_is_exact_with_one_sample():
    model, inputs = make_mlp(), torch.randn(1, 3)
    kfac = KFAC(model, decay=0.0)
    with kfac.capture():
        outputs = model(inputs)
    log_likelihood = -0.5 * (outputs - outputs.detach() - torch.randn(1, 2)).square().sum(dim=1)
    kfac.update_curvature(log_likelihood)
    gradient = compute_sample_gradients(model, log_likelihood)[0]
    for index, part in enumerate(gradient.split([20, 12])):
        torch.testing.assert_close(compute_dense_block(kfac, index), torch.outer(part, part), rtol=0, atol=1e-12)


@pytest.mark.parametrize("damping", [1e-3, 1.0])
def test_direction_is_the_dense_solution(damping):
    """Compare with NumPy's solution of (A ⊗ G + λI) x = g."""
    model = make_mlp()
    kfac = KFAC(model, damping=damping)
    update(kfac, model, torch.randn(64, 3))
    set_random_gradients(model)
    direction = kfac.compute_direction()
    for index, (start, size) in enumerate([(0, 20), (2, 12)]):
        gradient = np.concatenate([p.grad.flatten().numpy() for p in kfac.params[start : start + 2]])
        dense = compute_dense_block(kfac, index).numpy() + damping * np.eye(size)
        got = np.concatenate([d.flatten().numpy() for d in direction[start : start + 2]])
        np.testing.assert_allclose(got, np.linalg.solve(dense, gradient), atol=1e-8)


def test_direction_is_invariant_under_an_affine_change_of_inputs():
    """The same function, fed x or Mx + c, moves alike under K-FAC without damping, but not under SGD."""
    n, inputs, matrix, shift = 200, torch.randn(200, 3), torch.randn(3, 3) + 2 * torch.eye(3), torch.randn(3)
    targets, noise = torch.randn(n, 2), torch.randn(n, 2)
    model = make_mlp()
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed[0].weight.copy_(model[0].weight @ matrix.inverse())
        changed[0].bias.sub_(changed[0].weight @ shift)

    def move(net: nn.Module, x: torch.Tensor, natural: bool) -> torch.Tensor:
        kfac = KFAC(net, damping=1e-300, decay=0.0)
        with kfac.capture():
            before = net(x)
        kfac.update_curvature(-0.5 * (before - before.detach() - noise).square().sum(dim=1))
        (before - targets).square().mean().backward()
        kfac.move(kfac.compute_direction() if natural else [p.grad for p in kfac.params], 0.1)
        return net(x).detach() - before.detach()

    x = inputs @ matrix.T + shift
    torch.testing.assert_close(
        move(copy.deepcopy(model), inputs, True), move(copy.deepcopy(changed), x, True), rtol=0, atol=1e-9
    )
    assert (move(model, inputs, False) - move(changed, x, False)).abs().max() > 1e-3


def test_averages_are_corrected_for_their_start():
    """After factors F1 and F2 with decay d: (d (1 − d) F1 + (1 − d) F2) / (1 − d²)."""
    model, decay, x1, x2 = nn.Linear(1, 1, bias=False), 0.75, torch.tensor([[2.0]]), torch.tensor([[4.0]])
    kfac = KFAC(model, decay=decay, damping=1.0)
    for x in (x1, x2):
        with kfac.capture():
            outputs = model(x)
        kfac.update_curvature(outputs.flatten())
    state = kfac.state[model.weight]
    assert state["input_eigenvalues"].item() == pytest.approx((0.75 * 0.25 * 4 + 0.25 * 16) / (1 - 0.75**2))
    model.weight.grad = torch.ones(1, 1)
    assert kfac.compute_direction()[0].item() == pytest.approx(1 / (state["input_eigenvalues"].item() + 1.0))


def test_automatic_decay_averages_only_where_samples_are_few():
    model = nn.Linear(9, 2)
    kfac = KFAC(model)
    for _ in range(2):
        update(kfac, model, torch.randn(20, 9))
    state = kfac.state[model.weight]
    # 20 samples for a width of 10 are half of four a width; for a width of 2 they are enough.
    assert state["input_weight"] == pytest.approx(1 - 0.5**2)
    assert state["output_weight"] == 1.0


def test_eigendecomposition_happens_at_the_interval():
    model = nn.Linear(3, 2)
    kfac = KFAC(model, interval=3, decay=0.5)
    seen = []
    for _ in range(4):
        update(kfac, model, torch.randn(8, 3))
        seen.append(kfac.state[model.weight]["input_eigenvalues"].clone())
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2]) and not torch.equal(seen[0], seen[3])


def test_automatic_interval_is_longer_for_wide_factors_only():
    assert [choose_interval(None, width) for width in (65, 1023, 1024, 3137)] == [1, 1, 10, 10]
    model = nn.Linear(1100, 2)
    kfac, state = KFAC(model), []
    for _ in range(2):
        update(kfac, model, torch.randn(4, 1100))
        state.append(dict(kfac.state[model.weight]))
    assert torch.equal(state[0]["input_eigenvectors"], state[1]["input_eigenvectors"])
    assert not torch.equal(state[0]["output_eigenvectors"], state[1]["output_eigenvectors"])


def test_decomposition_survives_saturated_units():
    """In single precision, tiny and vanished rows make a bare eigendecomposition fail on one matrix in twenty."""
    for seed in range(200):
        torch.manual_seed(seed)
        rows = torch.randn(32, 64) * 10 ** (-18 * torch.rand(64)) * (torch.rand(64) < 0.5)
        factor = (rows.T @ rows / 32).float()
        values, vectors = decompose(factor)
        assert values.min() >= 0
        torch.testing.assert_close(vectors * values @ vectors.T, factor, rtol=0, atol=3e-6 * factor.abs().max().item())


def test_momentum_sums_directions():
    model = nn.Linear(1, 1, bias=False)
    kfac = KFAC(model, momentum=0.5, damping=1.0)
    with kfac.capture():
        outputs = model(torch.ones(1, 1))
    kfac.update_curvature(outputs.flatten())
    model.weight.grad = torch.ones(1, 1)
    # A = G = λ = 1: the natural gradient is one half.
    assert [kfac.compute_direction()[0].item() for _ in range(3)] == pytest.approx([0.5, 0.75, 0.875])


class Gaussian(nn.Module):
    """A linear mean with a log standard deviation of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(3, 2)
        self.log_std = nn.Parameter(torch.tensor([0.3, -0.7]))


def test_log_std_has_fisher_two():
    """The Monte Carlo Fisher of log σ is 2I, and the direction divides by it."""
    model, samples = Gaussian(), torch.randn(200_000, 2)
    gradients = samples**2 - 1  # ∂ log N(σ z; 0, σ²) / ∂ log σ
    torch.testing.assert_close(gradients.T @ gradients / len(samples), 2 * torch.eye(2), rtol=0, atol=0.05)
    kfac = KFAC(model, exact_fisher={model.log_std: 2.0}, damping=0.5)
    update(kfac, model.mean, torch.randn(8, 3))
    set_random_gradients(model)
    direction = dict(zip(kfac.params, kfac.compute_direction(), strict=True))
    torch.testing.assert_close(direction[model.log_std], model.log_std.grad / 2.5)


def test_convolution_that_sees_the_whole_image_is_a_linear_layer():
    conv, images = nn.Conv2d(2, 4, kernel_size=3), torch.randn(6, 2, 3, 3)
    gradients = torch.randn(6, 4, 1, 1)
    linear = nn.Linear(18, 4)
    expected = compute_factors(LinearBlock(linear), images.flatten(1), [gradients.flatten(1)])
    for got, want in zip(compute_factors(Conv2dBlock(conv), images, [gradients]), expected, strict=True):
        torch.testing.assert_close(got, want)


def test_convolution_factors_sum_over_positions():
    """A = Σₜ a aᵀ and G = Σₜ g gᵀ / t in the mean over images (Grosse and Martens), written out pixel by pixel."""
    conv, images, gradients = nn.Conv2d(2, 3, kernel_size=2), torch.randn(5, 2, 3, 3), torch.randn(5, 3, 2, 2)
    a, g = torch.zeros(9, 9), torch.zeros(3, 3)
    for image, gradient in zip(images, gradients, strict=True):
        for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
            patch = torch.cat([image[:, row : row + 2, column : column + 2].flatten(), torch.ones(1)])
            a += torch.outer(patch, patch) / 5
            g += torch.outer(gradient[:, row, column], gradient[:, row, column]) / (5 * 4)
    for got, want in zip(compute_factors(Conv2dBlock(conv), images, [gradients]), (a, g), strict=True):
        torch.testing.assert_close(got, want)


def test_convolution_patches_reproduce_the_layer():
    """Patches times the matrix of parameters are the outputs, stride, padding and dilation included."""
    conv = nn.Conv2d(2, 4, kernel_size=3, stride=2, padding=1, dilation=2)
    block, images = Conv2dBlock(conv), torch.randn(5, 2, 11, 9)
    outputs = block.expand_inputs(images) @ block.to_matrix(block.parameters).T
    torch.testing.assert_close(outputs, block.expand_gradients(images, conv(images)))


def test_layer_norm_block_is_the_dense_fisher():
    model = nn.Sequential(nn.LayerNorm(4))
    kfac, inputs = KFAC(model, decay=0.0), torch.randn(30, 4)
    with kfac.capture():
        outputs = model(inputs)
    log_likelihood = -0.5 * (outputs - outputs.detach() - torch.randn(30, 4)).square().sum(dim=1)
    kfac.update_curvature(log_likelihood)
    rows = compute_sample_gradients(model, log_likelihood)
    torch.testing.assert_close(compute_dense_block(kfac, 0), rows.T @ rows / 30, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "block",
    [
        LinearBlock(nn.Linear(3, 2)),
        LinearBlock(nn.Linear(3, 2, bias=False)),
        Conv2dBlock(nn.Conv2d(2, 3, 2)),
        LayerNormBlock(nn.LayerNorm(4)),
    ],
)
def test_matrix_form_round_trips(block):
    tensors = [torch.randn_like(p) for p in block.parameters]
    for got, want in zip(block.from_matrix(block.to_matrix(tensors)), tensors, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_in_place_activation_does_not_disturb_the_gradients():
    factors = []
    for inplace in (False, True):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=inplace), nn.Linear(4, 1))
        kfac = KFAC(model)
        update(kfac, model, torch.randn(10, 3))
        factors.append(get_factors(kfac)[1])
    torch.testing.assert_close(*factors)


def test_nothing_stays_on_the_model():
    model = make_mlp()
    kfac = KFAC(model)
    with pytest.raises(ZeroDivisionError), kfac.capture():
        raise ZeroDivisionError
    update(kfac, model, torch.randn(8, 3))
    assert all(not module._forward_hooks and not module._backward_hooks for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    pickle.dumps(model)


def test_state_survives_a_round_trip_bit_by_bit():
    model = make_mlp()
    kfac = KFAC(model, momentum=0.9, decay=0.5, interval=2)
    for _ in range(3):
        update(kfac, model, torch.randn(8, 3))
        set_random_gradients(model)
        kfac.step()
    twin = copy.deepcopy(model)
    other = KFAC(twin, momentum=0.9, decay=0.5, interval=2)
    other.load_state_dict(copy.deepcopy(kfac.state_dict()))
    for net, optimizer in ((model, kfac), (twin, other)):
        torch.manual_seed(5)
        update(optimizer, net, torch.randn(8, 3))
        set_random_gradients(net)
        optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))
    other.load_state_dict(copy.deepcopy(kfac.state_dict()))  # a second time, after torch has added to the defaults


def test_step_reaches_the_optimum_of_a_linear_regression_at_once():
    """Without damping a natural step of length one is a Newton step."""
    model, inputs = nn.Linear(3, 1), torch.randn(40, 3)
    targets = inputs @ torch.tensor([[1.0], [2.0], [3.0]]) + 4.0
    kfac = KFAC(model, damping=1e-12)
    with kfac.capture():
        outputs = model(inputs)
    kfac.update_curvature(outputs.flatten())
    (0.5 * (outputs - targets).square().mean()).backward()
    kfac.step()
    assert (model(inputs) - targets).abs().max() < 1e-8


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", 0.0), ("damping", 0.0), ("damping", float("nan")), ("decay", 1.0), ("decay", -0.1), ("interval", 0)]
    + [("interval", 1.5), ("interval", float("inf")), ("momentum", 1.0), ("damping", float("inf")), ("damping", "0.1")],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(InvalidArgumentError, match=f"{setting} is {value!r}"):
        KFAC(make_mlp(), **{setting: value})


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (
            nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
            r"cannot train the parameters \['1.weight', '1.bias'\]\..*Linear",
        ),
        (nn.Sequential(nn.Bilinear(2, 2, 2)), "0.weight"),
        (Gaussian(), "log_std"),
        (nn.Conv2d(2, 2, 3, groups=2), "'groups': 2"),
        (nn.Conv2d(2, 2, 3, padding="same"), "'padding': 'same'"),
        (nn.Linear(2, 2).requires_grad_(False), "K-FAC found no layer"),
    ],
)
def test_unsupported_layers_are_named(model, named):
    with pytest.raises(ValueError, match=named):
        KFAC(model)


def test_parameters_outside_whole_layers_are_refused():
    """A part of a layer, and parameters that the model does not have."""
    model, foreign = make_mlp(), nn.Parameter(torch.zeros(2))
    for settings, named in (
        ({"parameters": [model[0].weight]}, "0.bias"),
        ({"parameters": [foreign]}, "no layer"),
        ({"exact_fisher": {foreign: 2.0}}, "no layer"),
    ):
        with pytest.raises(InvalidArgumentError, match=rf"cannot train the parameters \['.*{named}'\]\. Each must"):
            KFAC(model, **settings)


def test_model_without_layers_is_refused():
    model = nn.ParameterList([nn.Parameter(torch.zeros(2))])
    with pytest.raises(InvalidArgumentError, match="K-FAC found no layer"):
        KFAC(model, exact_fisher={model[0]: 2.0})


def test_half_frozen_layer_is_refused():
    model = make_mlp()
    model[0].bias.requires_grad_(False)
    with pytest.raises(ValueError, match="bias"):
        KFAC(model)


def test_wrong_order_of_calls_is_refused():
    model = make_mlp()
    kfac = KFAC(model)
    with pytest.raises(RuntimeError, match="capture"):
        kfac.update_curvature(model(torch.randn(2, 3)).sum(dim=1))
    with pytest.raises(RuntimeError, match="backward"):
        kfac.compute_direction()
    set_random_gradients(model)
    with pytest.raises(RuntimeError, match="update_curvature"):
        kfac.compute_direction()
    with kfac.capture(), pytest.raises(RuntimeError, match="second"):
        model(model(torch.randn(2, 3)).repeat(1, 2)[:, :3])
    with kfac.capture(), torch.no_grad(), pytest.raises(RuntimeError, match="no_grad"):
        model(torch.randn(2, 3))


def test_layer_without_influence_is_refused():
    model = make_mlp()
    kfac = KFAC(model)
    with kfac.capture():
        hidden = model[0](torch.randn(4, 3))
        model[2](hidden)
    with pytest.raises(RuntimeError, match="depends on Linear.in_features=5"):
        kfac.update_curvature(hidden.sum(dim=1))


def test_state_of_another_optimizer_is_refused():
    model = make_mlp()
    with pytest.raises(ValueError, match="betas"):
        KFAC(model).load_state_dict(torch.optim.Adam(model.parameters()).state_dict())


def test_non_finite_statistics_leave_the_curvature_as_it_was():
    model = make_mlp()
    kfac = KFAC(model)
    update(kfac, model, torch.randn(8, 3))
    before = copy.deepcopy(kfac.state_dict()["state"])
    inputs = torch.randn(8, 3)
    inputs[2, 1] = float("nan")
    with pytest.raises(FloatingPointError, match="inputs of Linear"):
        update(kfac, model, inputs)
    after = kfac.state_dict()["state"]
    assert all(torch.equal(before[i]["input_factor"], after[i]["input_factor"]) for i in before)
