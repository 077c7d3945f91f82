"""Gradients and whole training runs against torch's autograd and optimizers, on every backend.

torch computes in float64 from the same initial weights, data order and noise. A float64 backend must agree to
rounding; a float32 one within the errors of float32 (see TOLERANCES), which single out no element: errors are
taken by norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import aefast
from aefast import activations, losses, random

WIDTHS = (11, 9, 3, 9, 11)
N_ROWS, BATCH, SEED = 53, 16, 7
VARIED = np.linspace(0.5, 2.0, N_ROWS)
# dtype -> relative error of loss and gradients in one step, of the losses and of the parameters' way in a
# run. float64: rounding of sums in another order; a run amplifies it. float32: n * eps of sums over at most
# 53 terms and 5 layers is 2e-5 at worst; Adam divides by sqrt(v), so a run's smallest gradients lose all
# their digits.
TOLERANCES = {"float64": (1e-10, 1e-9, 1e-7), "float32": (2e-5, 1e-4, 2e-2)}


@pytest.fixture(params=TOLERANCES)
def dtype(request: pytest.FixtureRequest, backend: str) -> str:
    try:
        aefast.Trainer(aefast.Topology.mlp(WIDTHS), backend=backend, dtype=request.param)
    except aefast.BackendUnavailableError as error:
        if request.param == "float32":
            raise
        pytest.skip(str(error))
    name: str = request.param
    return name


def _data(n: int = N_ROWS) -> np.ndarray:
    return np.random.default_rng(3).uniform(0.02, 0.98, (n, WIDTHS[0])).astype(np.float32)


@dataclass
class Model:
    """The objective of a trainer, written with torch: `loss` of a batch of data rows."""

    torch: Any
    trainer: aefast.Trainer

    def __post_init__(self) -> None:
        table = self.trainer.topology.parameters
        self.params = {
            name: self.torch.tensor(value.astype(np.float64), requires_grad=True)
            for name, value in self.trainer.parameters.items()
            if not table[name].alias
        }

    def loss(self, x: np.ndarray, rows: np.ndarray, epoch: int, weight: np.ndarray | None = None) -> Any:
        torch, t = self.torch, self.trainer
        target = torch.tensor(x.astype(np.float64))
        w = torch.tensor(np.ones(len(x)) if weight is None else weight)
        w = w / w.sum()
        topology, s = t.topology, t.settings
        h = torch.tensor(self._corrupted(x.astype(np.float64), rows, epoch))
        for layer in topology.layers[: topology.n_encoder]:
            h = self._activate(layer.activation, self._linear(layer, h))
        extra = 0.0
        if topology.variational:
            mu, logvar = h.chunk(2, dim=1)
            word = random.stream_word(random.STREAM_LATENT)
            eps = random.normals(SEED, rows, topology.n_components, epoch, word)
            h = mu + torch.exp(logvar / 2) * torch.tensor(eps)
            kl = 0.5 * (mu**2 + torch.exp(logvar) - 1 - logvar).sum(1)
            extra = t.beta * (w * kl.clamp(min=s.free_bits)).sum()
        if s.sparsity is not None:
            extra = extra + s.sparsity.weight * self._penalty(h, w)
        for layer in topology.layers[topology.n_encoder : -1]:
            h = self._activate(layer.activation, self._linear(layer, h))
        last = topology.layers[-1]
        z = self._linear(last, h)
        f = torch.nn.functional
        r = z if s.loss == "bce" else self._activate(last.activation, z)
        functions = {
            "mse": f.mse_loss,
            "bce": f.binary_cross_entropy_with_logits,
            "mae": f.l1_loss,
            "huber": f.huber_loss,
        }
        elements = functions[s.loss](r, target, reduction="none")
        if t.feature_weight is not None:
            elements = elements * torch.tensor(np.asarray(t.feature_weight, np.float64))
        return (w * elements.sum(1)).sum() * losses.element_scale(s.reduction, WIDTHS[0]) + extra

    def _linear(self, layer: Any, x: Any) -> Any:
        w = (
            self.params[f"{layer.name}.weight"]
            if layer.tied_to is None
            else self.params[f"{layer.tied_to}.weight"].T
        )
        return x @ w.T + self.params[f"{layer.name}.bias"]

    def _activate(self, name: str, z: Any) -> Any:
        f = self.torch.nn.functional
        functions = {"identity": lambda v: v, "tanh": self.torch.tanh, "sigmoid": self.torch.sigmoid}
        return functions.get(name, getattr(f, name, None))(z)

    def _corrupted(self, x: np.ndarray, rows: np.ndarray, epoch: int) -> np.ndarray:
        c = self.trainer.settings.corruption
        if c is None:
            return x
        address = (SEED, rows, x.shape[1], epoch, random.stream_word(random.STREAM_CORRUPTION))
        if c.kind == "gaussian":
            return x + c.level * random.normals(*address)
        u = random.uniforms24(*address) / 2.0**24
        if c.kind == "masking":
            return np.where(u < c.level, 0.0, x)
        return np.where(u < c.level / 2, c.low, np.where(u < c.level, c.high, x))

    def _penalty(self, h: Any, w: Any) -> Any:
        s = self.trainer.settings.sparsity
        assert s is not None
        if s.kind == "l1":
            return (w * h.abs().sum(1)).sum()
        if s.kind == "l2":
            return (w * (h**2).sum(1)).sum()
        mean, rho = (w[:, None] * h).sum(0), s.target
        return (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum()


def _trainer(backend: str, dtype: str, topology: aefast.Topology, **settings: Any) -> aefast.Trainer:
    trainer = aefast.Trainer(topology, backend=backend, dtype=dtype, seed=SEED, batch_size=BATCH, **settings)
    # Biases start at zero, where a forgotten bias would go unseen.
    rng = np.random.default_rng(5)
    values = trainer.parameters
    for name, value in values.items():
        if name.endswith("bias"):
            values[name] = rng.uniform(-0.2, 0.2, value.shape).astype(np.float32)
    trainer.load_parameters(values)
    return trainer


def _norm_error(got: Any, wanted: Any, scale: Any = None) -> float:
    unit = np.linalg.norm(wanted if scale is None else scale)
    return float(np.linalg.norm(np.asarray(got, np.float64) - wanted) / max(unit, 1e-300))


def _check_gradients(torch: Any, trainer: aefast.Trainer, weight: np.ndarray | None = None) -> None:
    x = _data()
    loss, gradients = trainer.gradients(x, weight)
    model = Model(torch, trainer)
    wanted = model.loss(x, np.arange(len(x)), 0, weight)
    wanted.backward()
    tolerance = TOLERANCES[trainer.dtype][0]
    assert loss == pytest.approx(wanted.item(), rel=tolerance)
    # Per parameter, but never below rounding of the largest one: a gradient may cancel to nothing.
    largest = max(float(p.grad.norm()) for p in model.params.values())
    for name, p in model.params.items():
        grad = p.grad.numpy()
        unit = max(float(np.linalg.norm(grad)), 1e-3 * largest)
        assert _norm_error(gradients[name], grad, unit) <= tolerance, name


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
@pytest.mark.parametrize("activation", activations.NAMES)
@pytest.mark.parametrize("loss", losses.NAMES)
def test_gradients(torch: Any, backend: str, dtype: str, loss: str, activation: str, reduction: str) -> None:
    output = "sigmoid" if losses.get(loss).on_logits else activation
    topology = aefast.Topology.mlp(
        WIDTHS, activation=activation, latent_activation=activation, output_activation=output
    )
    _check_gradients(torch, _trainer(backend, dtype, topology, loss=loss, reduction=reduction))


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_gradients_of_tied_weights(torch: Any, backend: str, dtype: str, activation: str) -> None:
    topology = aefast.Topology.mlp(
        WIDTHS, activation=activation, output_activation="sigmoid", tied_weights=True
    )
    _check_gradients(torch, _trainer(backend, dtype, topology, loss="bce"))


@pytest.mark.parametrize("free_bits", [0.0, 0.3])
@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_gradients_of_a_variational_model(
    torch: Any, backend: str, dtype: str, loss: str, free_bits: float
) -> None:
    topology = aefast.Topology.mlp(WIDTHS, activation="silu", output_activation="sigmoid", variational=True)
    settings = {"loss": loss, "reduction": "sum", "beta": 0.7, "free_bits": free_bits}
    _check_gradients(torch, _trainer(backend, dtype, topology, **settings))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["kl", "l1", "l2"])
def test_gradients_of_sparsity(torch: Any, backend: str, dtype: str, kind: str, tied: bool) -> None:
    code = "sigmoid" if kind == "kl" else "tanh"
    topology = aefast.Topology.mlp(WIDTHS, latent_activation=code, tied_weights=tied)
    sparsity = aefast.Sparsity(kind, weight=0.3, target=0.1)
    _check_gradients(torch, _trainer(backend, dtype, topology, reduction="sum", sparsity=sparsity), VARIED)


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_gradients_with_weights_of_rows_and_features(
    torch: Any, backend: str, dtype: str, reduction: str
) -> None:
    features = np.linspace(0.2, 3.0, WIDTHS[0])
    topology = aefast.Topology.mlp(WIDTHS, output_activation="tanh")
    _check_gradients(
        torch, _trainer(backend, dtype, topology, reduction=reduction, feature_weight=features), VARIED
    )


@pytest.mark.parametrize("kind", ["gaussian", "masking", "salt_and_pepper"])
def test_gradients_of_corrupted_input(torch: Any, backend: str, dtype: str, kind: str) -> None:
    topology = aefast.Topology.mlp(WIDTHS, output_activation="sigmoid")
    corruption = aefast.Corruption(kind, 0.4)
    _check_gradients(torch, _trainer(backend, dtype, topology, loss="bce", corruption=corruption))


RATE, DECAY = 0.01, 0.05


def _torch_optimizer(torch: Any, name: str, params: dict[str, Any]) -> Any:
    groups = [
        {"params": [p for n, p in params.items() if n.endswith("weight")], "weight_decay": DECAY},
        {"params": [p for n, p in params.items() if n.endswith("bias")], "weight_decay": 0.0},
    ]
    make = {
        "sgd": lambda: torch.optim.SGD(groups, lr=RATE),
        "momentum": lambda: torch.optim.SGD(groups, lr=RATE, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD(groups, lr=RATE, momentum=0.9, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop(groups, lr=RATE, alpha=0.99, eps=1e-8),
        "adam": lambda: torch.optim.Adam(groups, lr=RATE),
        "adamw": lambda: torch.optim.AdamW(groups, lr=RATE),
    }
    return make[name]()


def _check_training(
    torch: Any, trainer: aefast.Trainer, weight: np.ndarray | None = None, epochs: int = 13
) -> None:
    """`fit` against the same loop in torch: 4 batches an epoch, the last of 5 rows, 52 steps."""
    x, model = _data(), Model(torch, trainer)
    start = {name: p.detach().numpy().copy() for name, p in model.params.items()}
    optimizer = _torch_optimizer(torch, trainer.settings.optimizer.name, model.params)
    history = trainer.fit(x, epochs=epochs, sample_weight=weight).loss
    shares, wanted = (np.ones(N_ROWS) if weight is None else weight), []
    n_clipped = 0
    for epoch in range(epochs):
        order, total = random.permutation(N_ROWS, SEED, epoch), 0.0
        for first in range(0, N_ROWS, BATCH):
            rows = order[first : first + BATCH]
            optimizer.zero_grad()
            loss = model.loss(x[rows], rows, epoch, None if weight is None else weight[rows])
            loss.backward()
            if trainer.clip_norm:
                norm = torch.nn.utils.clip_grad_norm_(list(model.params.values()), trainer.clip_norm)
                n_clipped += bool(norm > trainer.clip_norm)
            optimizer.step()
            total += loss.item() * shares[rows].sum() / shares.sum()
        wanted.append(total)
    assert trainer.clip_norm is None or n_clipped > 0
    _, loss_tolerance, way_tolerance = TOLERANCES[trainer.dtype]
    np.testing.assert_allclose(history, wanted, rtol=loss_tolerance)
    trained = trainer.parameters
    for name, p in model.params.items():
        value = p.detach().numpy()
        assert _norm_error(trained[name], value, value - start[name]) <= way_tolerance, name


@pytest.mark.parametrize("clip_norm", [None, 0.01])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
def test_training(torch: Any, backend: str, dtype: str, optimizer: str, clip_norm: float | None) -> None:
    topology = aefast.Topology.mlp(WIDTHS, activation="tanh", output_activation="sigmoid")
    settings = {"optimizer": optimizer, "learning_rate": RATE, "weight_decay": DECAY, "clip_norm": clip_norm}
    _check_training(torch, _trainer(backend, dtype, topology, **settings))


@pytest.mark.parametrize("kind", ["tied", "variational", "sparse", "denoising", "weighted"])
def test_training_of_each_kind(torch: Any, backend: str, dtype: str, kind: str) -> None:
    shape = {"tied_weights": kind == "tied", "variational": kind == "variational"}
    code = "sigmoid" if kind == "sparse" else "identity"
    topology = aefast.Topology.mlp(
        WIDTHS, activation="gelu", latent_activation=code, output_activation="sigmoid", **shape
    )
    settings: dict[str, Any] = {
        "loss": "bce",
        "reduction": "sum",
        "learning_rate": RATE,
        "weight_decay": DECAY,
    }
    if kind == "sparse":
        settings["sparsity"] = aefast.Sparsity("kl", weight=0.3, target=0.1)
    if kind == "denoising":
        settings["corruption"] = aefast.Corruption("gaussian", 0.2)
    _check_training(
        torch, _trainer(backend, dtype, topology, **settings), VARIED if kind == "weighted" else None
    )


def test_the_model_here_notices_a_wrong_gradient(torch: Any) -> None:
    trainer = _trainer("numpy", "float64", aefast.Topology.mlp(WIDTHS))
    right = trainer.gradients

    def wrong(batch: Any, weight: Any = None) -> tuple[float, dict[str, Any]]:
        loss, gradients = right(batch, weight)
        gradients["encoder.1.bias"] = -gradients["encoder.1.bias"]
        return loss, gradients

    trainer.gradients = wrong  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match=r"encoder\.1\.bias"):
        _check_gradients(torch, trainer)
