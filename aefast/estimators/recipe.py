"""What an estimator's parameters make: the topology, the penalties, the rates and the Trainer; every "auto" ends here."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from aefast import activations, optimizers
from aefast.checks import Check
from aefast.data.scaling import Scaling, column_range
from aefast.estimators import parameters
from aefast.regularizers import Corruption, Sparsity
from aefast.topology import Topology
from aefast.trainer import Trainer

Array = NDArray[Any]
# salt_and_pepper's two extremes in scaled space; standard and global: two deviations. None: those of the data.
EXTREMES: dict[str | None, tuple[float, float]] = {
    "standard": (-2.0, 2.0),
    "global": (-2.0, 2.0),
    "minmax": (0.0, 1.0),
    "pixel": (0.0, 1.0),
}


class Recipe(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators' base; the attributes are their constructors' parameters.

    A subclass adds its parameters, and through `own_options` and the methods below what they mean.
    """

    variational: bool = False
    auto_scaling: ClassVar[str] = "standard"
    """What scaling "auto" is for data that need one."""
    own_rules: ClassVar[dict[str, Check]] = {}
    """Where a parameter may be something else than `parameters.RULES` says."""
    own_options: ClassVar[tuple[str, ...]] = ()
    """Constructor parameters of the kind that the Trainer takes under the same names."""

    def make_trainer(
        self,
        topology: Topology,
        scaling: Scaling,
        corruption: Corruption | None,
        *,
        seed: int,
        batch_size: int,
        weight_decay: float,
        whole_run: bool = False,
    ) -> Trainer:
        """An untrained Trainer with this estimator's settings; `whole_run`: the number of its epochs is known."""
        same = "loss optimizer warmup_steps clip_norm ema backend dtype n_threads shuffle"
        options = {name: getattr(self, name) for name in (*same.split(), *self.own_options)}
        options["learning_rate"], options["schedule"] = self._rate(whole_run=whole_run)
        return Trainer(
            topology,
            reduction=self._reduction(),
            scaling=scaling,
            corruption=corruption,
            sparsity=self._sparsity(),
            seed=seed,
            batch_size=batch_size,
            weight_decay=weight_decay,
            **options,
        )

    def _topology(self, X: Any, n_features: int) -> Topology:
        """The layers for rows of so many features, which X holds in the shape that `fit` got."""
        hidden = self._hidden_widths(n_features)
        return Topology.mlp(
            (n_features, *hidden, self._code_width(n_features), *hidden[::-1], n_features),
            activation=self.activation,
            latent_activation=self._latent_activation(),
            output_activation=self._output_activation(),
            tied_weights=getattr(self, "tied_weights", False),
            variational=self.variational,
        )

    def _cost(self, X: Any, n_features: int) -> float:
        """Multiplications a row and epoch, but for a factor that is the same for all kinds."""
        widths = (n_features, *self._hidden_widths(n_features), self._code_width(n_features))
        return 2.0 * sum(map(math.prod, itertools.pairwise(widths)))

    def _output_activation(self) -> str:
        output: str = self.output_activation
        if output == "auto":
            output = "sigmoid" if self.loss == "bce" else "identity"
        if self.loss == "bce" and output != "sigmoid":
            raise ValueError(
                f"loss='bce' needs output_activation='sigmoid' (or 'auto'), but it is {output!r}"
            )
        return output

    def _reduction(self) -> str:
        if self.reduction == "auto":
            return "sum" if self.variational else "mean"
        return str(self.reduction)

    def _rate(self, *, whole_run: bool) -> tuple[float, str]:
        """The learning rate and the schedule."""
        rule = optimizers.get(self.optimizer)
        rate, schedule = parameters.auto_rate(self.learning_rate, self.schedule, rule, whole_run)
        return (rate if rule.learning_rate is None else rule.learning_rate), schedule

    def _decay(self, n: int, d: int, *, whole_run: bool) -> float:
        """The weight decay for rows (n, d)."""
        if not isinstance(self.weight_decay, str):
            return float(self.weight_decay)
        if not whole_run:
            return 0.0
        return parameters.auto_decay(n, d, self._reduction(), optimizers.get(self.optimizer))

    def _auto_batch(self, n: int, whole_run: bool) -> int:
        # Kullback-Leibler sparsity compares with the mean over a batch; a stream's pieces tell nothing about its length.
        if not whole_run or getattr(self, "sparsity", None) == "kl":
            return min(parameters.AUTO_BATCH, n)
        return parameters.auto_batch(n)

    def _code_width(self, n_features: int) -> int:
        """The code's width for so many features."""
        code = self.n_components
        return self._auto_components(n_features) if isinstance(code, str) else int(code)

    def _hidden_widths(self, n_features: int) -> tuple[int, ...]:
        """The widths of the hidden layers before the code."""
        hidden = parameters.hidden_widths(self.hidden_layer_sizes)
        return parameters.auto_hidden(n_features) if hidden is None else tuple(int(h) for h in hidden)

    def _auto_components(self, n_features: int) -> int:
        return parameters.auto_components(n_features)

    def _latent_activation(self) -> str:
        name: str = getattr(self, "latent_activation", "identity")
        return "identity" if name == "auto" else name

    def _scaling_name(self, X: Any) -> str | None:
        """The scaling for rows X (n, d)."""
        if self.scaling == "auto":
            return None if self.loss == "bce" else self.auto_scaling
        name: str | None = self.scaling
        return name

    def _corruption(self, X: Array) -> Corruption | None:
        if getattr(self, "corruption", None) is None:
            return None
        extremes = EXTREMES.get(self._scaling_name(X))
        if extremes is None and self.corruption == "salt_and_pepper":
            low, high = column_range(X)
            extremes = float(low.min()), float(high.max())
        return Corruption(self.corruption, float(self.corruption_level), *(extremes or (0.0, 1.0)))

    def _sparsity(self) -> Sparsity | None:
        if getattr(self, "sparsity", None) is None:
            return None
        code = activations.get(self._latent_activation())
        if self.sparsity == "kl" and not (code.low >= 0 and code.high <= 1):
            raise ValueError(
                f"sparsity='kl' needs a code in (0, 1), but latent_activation={code.name!r} isn't bounded to it; "
                "choose latent_activation='sigmoid', or sparsity='l1'"
            )
        return Sparsity(self.sparsity, float(self.sparsity_weight), float(self.rho))
