"""What a model says of rows: codes, reconstructions, losses; chunk by chunk, and never a change."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import losses
from aefast.data.rows import as_rows, as_weights
from aefast.engine import DTYPES, Array, Engine, in_order
from aefast.plan import Purpose
from aefast.regularizers import PENALTY_CODES, Sparsity


class Inference(Engine):
    """The part of `Trainer` that estimators apply; threads may share it."""

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
        loss = losses.element_scale(s.reduction, self.topology.n_features) * _dot(share, parts["row_loss"])
        if "kl" in parts:
            loss += self.beta * _dot(share, np.maximum(parts["kl"], s.free_bits))
        if s.sparsity is not None:
            loss += _penalty(parts["code"], share, s.sparsity)
        return loss

    # Inside ------------------------------------------------------------------------------------------------------

    def _infer(
        self, purpose: Purpose, rows: Array, wanted: dict[str, int], noise: int | None = None
    ) -> dict[str, Array]:
        """The named buffers of all rows, chunk by chunk: (n, width), or (n,) for width 0."""
        this = threading.get_ident()
        if self._inferring == this:
            raise RuntimeError(
                "this model is computing in this very thread: a signal's handler must not use it meanwhile"
            )
        with self._inference:  # one at a time: threads share the program and its memory
            self._inferring = this
            try:
                return self._chunks(purpose, rows, wanted, noise)
            finally:
                self._inferring = 0

    def _chunks(
        self, purpose: Purpose, rows: Array, wanted: dict[str, int], noise: int | None
    ) -> dict[str, Array]:
        n, batch = len(rows), min(self._chunk_rows, len(rows))
        _, program = self._program(purpose, batch)
        feed = self._feed(rows, in_order(n), None, 0, scaled=purpose != "decode")
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


def _dot(a: Array, b: Array) -> float:
    return float(np.einsum("i,i", a, b))  # BLAS rounds by its number of threads


def _penalty(code: Array, share: NDArray[np.float64], sparsity: Sparsity) -> float:
    from aefast.backends.blas import AtMost
    from aefast.backends.numpy import ops

    value, mean = np.zeros(1), np.zeros(code.shape[1])
    kind = PENALTY_CODES[sparsity.kind]
    with AtMost(1):  # BLAS rounds by its number of threads
        ops.sparsity_penalty(code, share, kind, sparsity.weight, sparsity.target, mean, value)
    return float(value[0])
