"""What is written in the kernels, by name; no Triton is needed to read it, so that `supports` answers everywhere."""

from __future__ import annotations

from aefast import activations, losses, optimizers, regularizers

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus")
LOSSES = ("mse", "bce", "mae", "huber")
RULES = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lion")
CORRUPTIONS = ("gaussian", "masking", "salt_and_pepper")
PENALTIES = ("kl", "l1", "l2")

ACT = {name: activations.CODES[name] for name in ACTIVATIONS}
LOSS = {name: losses.CODES[name] for name in LOSSES}
RULE = {name: optimizers.CODES[name] for name in RULES}
CORRUPTION = {name: regularizers.CORRUPTION_CODES[name] for name in CORRUPTIONS}
PENALTY = {name: regularizers.PENALTY_CODES[name] for name in PENALTIES}
