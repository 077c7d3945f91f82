"""A model bound to a backend: parameters in one flat buffer, programs by purpose, inference."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import activations, backends, checks, losses, random
from aefast.data.rows import as_feature_weight, as_rows, as_weights
from aefast.plan import Plan, Purpose, Settings
from aefast.planner import build
from aefast.regularizers import PENALTY_CODES, Sparsity
from aefast.topology import Parameter, Topology

Array = NDArray[Any]
# Of the flat buffers and the results. "bfloat16" rounds the operands of products; the weights that learn are float32.
DTYPES = {"float32": np.float32, "float64": np.float64, "bfloat16": np.float32}
# Rows a chunk of inference: at most large enough to amortise the call, small enough to stay in cache.
INFERENCE_SIZES = (16, 128, 1024)
PROGRAMS = 6  # that are kept for each purpose; a training with pieces of many sizes would collect them


# What belongs to this process and object alone; a copy makes its own.
UNCOPIED = ("_backend", "_programs", "_inference", "_trained")


class Engine:
    """What `Trainer` is without its loop; its parameters are described there."""

    def __init__(
        self,
        topology: Topology,
        settings: Settings,
        *,
        batch_size: int,
        beta: float,
        feature_weight: Any,
        scaling: Any,
        backend: str,
        dtype: str,
        n_threads: int | None,
        seed: int,
    ) -> None:
        dtype = checks.dtype_name(dtype)
        checks.choice(DTYPES)("dtype", dtype)
        checks.seed("seed", seed)
        self.topology, self.settings = topology, settings
        self.beta, self.scaling, self.seed = beta, scaling, seed
        self.dtype, self.n_threads, self.backend = dtype, n_threads, backend
        self.feature_weight = as_feature_weight(feature_weight, topology.n_features)
        self.batch_size = batch_size
        self._bind()
        real, n = DTYPES[dtype], topology.n_flat
        self._state = backends.State(
            np.zeros(n, real),
            np.zeros(n, real),
            tuple(np.zeros(n, real) for _ in range(settings.optimizer.n_slots)),
            np.zeros(n, real) if settings.ema is not None else None,
        )
        self._initialise()

    # Parameters --------------------------------------------------------------------------------------------------

    @property
    def backend_name(self) -> str:
        """The backend that does the whole plan."""
        return self._backend.name

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies by name: "encoder.0.weight" (N, M), "encoder.0.bias" (N,), ..."""
        return {name: view.copy() for name, view in self.views(self._state.params).items()}

    @property
    def ema_parameters(self) -> dict[str, Array]:
        """Copies of the averaged parameters, with which inference works; the parameters themselves without `ema`."""
        return {name: view.copy() for name, view in self.views(self._inference_state().params).items()}

    @property
    def flat_buffers(self) -> dict[str, Array]:
        """The learned state in flat buffers (topology.n_flat,): params, one per optimizer slot, the averages."""
        slots = {f"slot{i}": slot for i, slot in enumerate(self._state.slots)}
        averaged = {} if self._state.ema is None else {"ema": self._state.ema}
        return {"params": self._state.params, **slots, **averaged}

    def views(self, flat: Array) -> dict[str, Array]:
        """Views of a flat buffer by parameter name, in logical shapes."""
        return {name: _view(flat, parameter) for name, parameter in self.topology.parameters.items()}

    def load_parameters(self, mapping: Mapping[str, Any]) -> None:
        """Sets every stored parameter (tied weights by their encoder's name); the averaged ones start anew from them.

        Raises KeyError for missing or unknown names, ValueError for a wrong shape; nothing is changed then.
        """
        views = self.views(self._state.params)
        table = self.topology.parameters
        expected = [name for name in views if not table[name].alias]
        if missing := [name for name in expected if name not in mapping]:
            raise KeyError(f"parameters lack {', '.join(missing)}")
        if unknown := [name for name in mapping if name not in views]:
            raise KeyError(f"unknown parameters {', '.join(unknown)}; known: {', '.join(views)}")
        arrays = {name: np.asarray(mapping[name]) for name in expected}
        for name, array in arrays.items():
            if array.shape != views[name].shape:
                raise ValueError(f"{name} must have shape {views[name].shape}, but has {array.shape}")
            if array.dtype.kind in "cOSUMm":
                raise TypeError(f"{name} must hold real numbers, but its dtype is {array.dtype}")
        for name, array in arrays.items():
            views[name][...] = array
        if self._state.ema is not None:
            self._state.ema[...] = self._state.params

    # Inference ---------------------------------------------------------------------------------------------------

    def encode(self, X: Any) -> Array:
        """Codes (n, L); the mean of a variational model."""
        return self._infer(
            "encode", as_rows(X, self.topology.n_features), {"code": self.topology.n_components}
        )["code"]

    def decode(self, Z: Any) -> Array:
        """Reconstructions (n, d) in X's units from codes (n, L)."""
        codes = as_rows(Z, self.topology.n_components, what="Z")
        return self._unscaled(self._infer("decode", codes, {"reconstruction": self.topology.n_features}))

    def reconstruct(self, X: Any) -> Array:
        """decode(encode(X)), without storing the codes."""
        rows = as_rows(X, self.topology.n_features)
        return self._unscaled(self._infer("reconstruct", rows, {"reconstruction": self.topology.n_features}))

    def sample_losses(self, X: Any) -> Array:
        """(n,) reconstruction loss per row in scaled space, by the reduction; one latent sample where variational."""
        rows = as_rows(X, self.topology.n_features)
        scale = losses.element_scale(self.settings.reduction, self.topology.n_features)
        return self._infer("loss", rows, {"row_loss": 0})["row_loss"] * scale

    def elbo(self, X: Any, n_samples: int = 1) -> Array:
        """(n,) evidence lower bound in nats, KL in closed form, the likelihood from `n_samples` latent samples.

        Sample s of every row uses the same noise, so that a row's bound doesn't depend on the rows around it.
        """
        row = losses.get(self.settings.loss)
        if not self.topology.variational or row.likelihood is None:
            raise ValueError(
                f"an ELBO needs a variational topology and a loss with a likelihood; this one is "
                f"{'variational' if self.topology.variational else 'deterministic'} with loss {row.name!r}"
            )
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, but is {n_samples}")
        rows = as_rows(X, self.topology.n_features)
        total = np.zeros(len(rows))
        for sample in range(n_samples):
            parts = self._infer("loss", rows, {"row_loss": 0, "kl": 0}, noise=sample)
            total -= parts["row_loss"] + parts["kl"].astype(np.float64)
        total = total / n_samples - self.topology.n_features * row.log_normaliser
        return total.astype(DTYPES[self.dtype])

    def evaluate(self, X: Any, sample_weight: Any = None) -> float:
        """The loss of X (n, d) without corruption: reconstruction, KL and penalty, as in training; changes nothing."""
        rows = as_rows(X, self.topology.n_features)
        weights = as_weights(sample_weight, len(rows))
        wanted = {"row_loss": 0, **({"kl": 0} if self.topology.variational else {})}
        if self.settings.sparsity is not None:
            wanted["code"] = self.topology.n_components
        parts = self._infer("loss", rows, wanted, noise=0)
        share = np.full(len(rows), 1 / len(rows)) if weights is None else weights / weights.sum()
        s = self.settings
        loss = losses.element_scale(s.reduction, self.topology.n_features) * float(share @ parts["row_loss"])
        if "kl" in parts:
            loss += self.beta * float(share @ np.maximum(parts["kl"], s.free_bits))
        if s.sparsity is not None:
            loss += _penalty(parts["code"], share, s.sparsity)
        return loss

    # Copies ------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # Backend and programs hold native memory; a copy binds its own when it comes to life.
        return {name: value for name, value in vars(self).items() if name not in UNCOPIED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # joblib maps large arrays read-only from its file; the parameters are to be learned on.
        owned = self._state
        self._state = backends.State(
            _writeable(owned.params),
            _writeable(owned.grads),
            tuple(map(_writeable, owned.slots)),
            None if owned.ema is None else _writeable(owned.ema),
        )
        self._bind()

    # Inside ---------------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        plan = build(self.topology, self.settings, self.batch_size, "train", self.dtype)
        self._backend = backends.choose(self.backend, plan, self.dtype)
        self._programs: dict[tuple[Purpose, int], tuple[Plan, backends.Program]] = {}
        self._inference = threading.Lock()
        self._trained = False  # see Trainer.exclusively

    def set_num_threads(self, n_threads: int | None) -> None:
        """From the next run on; None leaves the count to the environment."""
        if n_threads != self.n_threads:
            self.n_threads = n_threads
            self._programs.clear()

    def _initialise(self) -> None:
        views = self.views(self._state.params)
        for number, layer in enumerate(self.topology.layers):
            if layer.tied_to is None:
                gain = activations.get(layer.activation).gain
                bound = gain * math.sqrt(6.0 / (layer.n_in + layer.n_out))
                shape = (layer.n_out, layer.n_in)
                views[f"{layer.name}.weight"][...] = random.initial_weight(shape, bound, self.seed, number)
        if self._state.ema is not None:
            self._state.ema[...] = self._state.params

    def _feed(
        self, rows: Array, index: NDArray[np.int64], weights: Any, epoch: int, scaled: bool = True
    ) -> backends.Feed:
        feed = backends.Feed(rows, index, sample_weight=weights, seed=self.seed, epoch=epoch & 0xFFFFFFFF)
        if self.scaling is not None and scaled:
            feed.shift, feed.scale, feed.factor = self.scaling.shift, self.scaling.scale, self.scaling.factor
        return feed

    def _program(self, purpose: Purpose, batch: int) -> tuple[Plan, backends.Program]:
        if purpose != "train":  # a program takes fewer rows too: a few sizes serve every number of them
            batch = next(size for size in INFERENCE_SIZES if size >= batch)
        key = (purpose, batch)
        if key not in self._programs:
            while sum(kind == purpose for kind, _ in self._programs) >= PROGRAMS:
                del self._programs[next(k for k in self._programs if k[0] == purpose)]
            plan = build(self.topology, self.settings, batch, purpose, self.dtype)
            state = self._state if purpose == "train" else self._inference_state()
            program = self._backend.bind(plan, state, self.n_threads)
            if self.feature_weight is not None and "feature_weight" in plan.buffers:
                program.buffer("feature_weight")[...] = self.feature_weight
            self._programs[key] = plan, program
        return self._programs[key]

    def _inference_state(self) -> backends.State:
        return self._state if self._state.ema is None else backends.State(self._state.ema, self._state.grads)

    def _infer(
        self, purpose: Purpose, rows: Array, wanted: dict[str, int], noise: int | None = None
    ) -> dict[str, Array]:
        """The named buffers of all rows, chunk by chunk: (n, width), or (n,) for width 0."""
        with self._inference:  # one at a time: threads share the program and its memory
            return self._chunks(purpose, rows, wanted, noise)

    def _chunks(
        self, purpose: Purpose, rows: Array, wanted: dict[str, int], noise: int | None
    ) -> dict[str, Array]:
        n, batch = len(rows), min(INFERENCE_SIZES[-1], len(rows))
        _, program = self._program(purpose, batch)
        feed = self._feed(rows, np.arange(n), None, 0, scaled=purpose != "decode")
        if noise is not None:
            feed.rows = np.full(n, noise)
        results = {
            name: np.empty((n, width) if width else n, DTYPES[self.dtype]) for name, width in wanted.items()
        }
        for start in range(0, n, batch):
            stop = min(start + batch, n)
            program.run_phases(feed, start, stop)
            for name, result in results.items():
                result[start:stop] = program.buffer(name)[: stop - start]
        return results

    def _unscaled(self, results: dict[str, Array]) -> Array:
        reconstruction = results["reconstruction"]
        if self.scaling is None:
            return reconstruction
        inverse: Array = self.scaling.inverse(reconstruction)
        return inverse


def _writeable(array: Array) -> Array:
    return array if array.flags.writeable and type(array) is np.ndarray else np.array(array)


def _view(flat: Array, p: Parameter) -> Array:
    size = p.rows * p.cols
    if p.vector:
        return flat[p.offset : p.offset + size]
    block = flat[p.offset : p.offset + size]
    return block.reshape(p.cols, p.rows).T if p.alias else block.reshape(p.rows, p.cols)


def _penalty(code: Array, share: NDArray[np.float64], sparsity: Sparsity) -> float:
    from aefast.backends.numpy import ops

    value, mean = np.zeros(1), np.zeros(code.shape[1])
    kind = PENALTY_CODES[sparsity.kind]
    ops.sparsity_penalty(code, share, kind, sparsity.weight, sparsity.target, mean, value)
    return float(value[0])
