"""aefast: autoencoders, trained by fused native kernels. `import aefast` loads nothing heavy; names load when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from aefast import backends as backends
    from aefast import callbacks as callbacks
    from aefast import ops as ops
    from aefast import optimizers as optim  # noqa: F401
    from aefast import torch as torch
    from aefast.errors import BackendUnavailableError as BackendUnavailableError
    from aefast.errors import CorruptFileError as CorruptFileError
    from aefast.errors import FallbackWarning as FallbackWarning
    from aefast.errors import NonFiniteError as NonFiniteError
    from aefast.estimators import Autoencoder as Autoencoder
    from aefast.estimators import ConvAutoencoder as ConvAutoencoder
    from aefast.estimators import DenoisingAutoencoder as DenoisingAutoencoder
    from aefast.estimators import SparseAutoencoder as SparseAutoencoder
    from aefast.estimators import VariationalAutoencoder as VariationalAutoencoder
    from aefast.io import load as load
    from aefast.many import fit_many as fit_many
    from aefast.regularizers import Corruption as Corruption
    from aefast.regularizers import Sparsity as Sparsity
    from aefast.threads import set_num_threads as set_num_threads
    from aefast.topology import Topology as Topology
    from aefast.trainer import Trainer as Trainer

# Public name -> (module, attribute); a module alone has no attribute.
_PUBLIC: dict[str, tuple[str, str | None]] = {
    "Autoencoder": ("aefast.estimators", "Autoencoder"),
    "ConvAutoencoder": ("aefast.estimators", "ConvAutoencoder"),
    "DenoisingAutoencoder": ("aefast.estimators", "DenoisingAutoencoder"),
    "SparseAutoencoder": ("aefast.estimators", "SparseAutoencoder"),
    "VariationalAutoencoder": ("aefast.estimators", "VariationalAutoencoder"),
    "Topology": ("aefast.topology", "Topology"),
    "Trainer": ("aefast.trainer", "Trainer"),
    "Corruption": ("aefast.regularizers", "Corruption"),
    "Sparsity": ("aefast.regularizers", "Sparsity"),
    "BackendUnavailableError": ("aefast.errors", "BackendUnavailableError"),
    "CorruptFileError": ("aefast.errors", "CorruptFileError"),
    "FallbackWarning": ("aefast.errors", "FallbackWarning"),
    "NonFiniteError": ("aefast.errors", "NonFiniteError"),
    "backends": ("aefast.backends", None),
    "callbacks": ("aefast.callbacks", None),
    "set_num_threads": ("aefast.threads", "set_num_threads"),
    "fit_many": ("aefast.many", "fit_many"),
    "load": ("aefast.io", "load"),
    "ops": ("aefast.ops", None),
    "optim": ("aefast.optimizers", None),
}
# Needs a package that aefast doesn't bring: found by its name alone, so that a walk through all names loads nothing.
_EXTRAS: dict[str, tuple[str, str | None]] = {"torch": ("aefast.torch", None)}
__all__ = ["__version__"]
__all__ += list(_PUBLIC)


def __getattr__(name: str) -> Any:
    found = _PUBLIC.get(name) or _EXTRAS.get(name)
    if found is None:
        raise AttributeError(f"module 'aefast' has no attribute {name!r}")
    module, attribute = found
    loaded = importlib.import_module(module)
    value = loaded if attribute is None else getattr(loaded, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
