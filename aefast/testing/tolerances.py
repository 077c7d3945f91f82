"""The one table of tolerances, each with its reason. All else follows from the formulas (see `bounded`)."""

from __future__ import annotations

# Error of an elementary function of the tested precision, in units of u |f(x)| (u = eps / 2, so 2 is one ULP).
# "other" holds for whatever a new formula brings; lower it by a row of its own when its kernels are known.
FUNCTION_ULP: dict[str, float] = {
    "exp": 4.0,  # polynomials of degree 6 with a split argument stay below 2 ULP
    "expm1": 6.0,  # the same, and the recombination with 2^k - 1
    "log": 4.0,
    "log1p": 6.0,
    "tanh": 8.0,  # usually made of expm1 and a division: two roundings more
    "sqrt": 1.0,  # correctly rounded by IEEE 754
    "other": 8.0,
}
# On the bound as a whole: a kernel may write the same formula in another order or fuse it. In float64 the reference is
# itself rounded as much as the backend.
SLACK = {
    "float32": 2.0,
    "float64": 4.0,
    "bfloat16": 2.0,  # products of bfloat16 numbers are exact in float32, where they are summed
}
# Normals: 2 ULP of the float64 value rounded to float32 (the promise of the random streams), half an ULP for that
# rounding; one ULP is at most 2 u |x|. The absolute part is the float64 angle's own rounding, where a cosine is zero.
NORMAL_ULP = 2.5
NORMAL_FLOOR = 1e-15
# Seen from a whole step or run, compared with the float64 trainer: the errors of some 10^2 operations in a row.
# step: parameters after one step, relative to that step's largest change. Optimizers that divide by |g| (adam, adamw,
# rmsprop in their first step, lion's sign) turn a gradient at rounding level into a full step: such elements are left
# out by the least gradient that counts.
# bfloat16: an operand is off by up to 2^-9 = 2e-3 in each of some ten products, and where a relu's argument lies that near
# zero, its whole slope. Beside it, `test_bfloat16.py` compares with the reference in bfloat16, to float32's tolerance.
STEP = {"float32": 2e-4, "float64": 1e-9, "bfloat16": 2e-2}
STEP_LEAST_GRADIENT = {"float32": 1e-3, "float64": 1e-9, "bfloat16": 5e-2}
# band: mean loss of the last 20 of 200 steps, relative. Rounding is amplified by training, the loss is a smooth average of it.
# bfloat16: its error in every product is noise, of which a long run's loss shows little.
BAND = {"float32": 2e-3, "float64": 1e-6, "bfloat16": 5e-3}
# Reference against central differences in float64: truncation h^2 f''' / 6 with h = 1e-5 and cancellation u |f| / h.
GRADIENT = 1e-7
