"""Whether kernels can run here, found out without importing Triton or CuPy; and the driver that Triton then works with."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from functools import cache
from typing import Any

from aefast.backends import Support

LEAST_CAPABILITY = (8, 0)
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
LIBRARY = "libcuda.so.1"


def interpreting() -> bool:
    """Whether Triton's interpreter runs the kernels, on NumPy arrays: TRITON_INTERPRET=1, set before they are imported."""
    return os.environ.get("TRITON_INTERPRET", "") in ("1", "true", "on", "yes")


def available() -> Support:
    """Whether Triton is installed, and either a device with CuPy is there or the interpreter is asked for."""
    if importlib.util.find_spec("triton") is None:
        return Support(False, "triton isn't installed; `pip install 'aefast[gpu-cu13]'`")
    if interpreting():
        return Support(True)
    found = capability()
    if isinstance(found, str):
        return Support(False, found)
    if found < LEAST_CAPABILITY:
        had, least = (".".join(map(str, pair)) for pair in (found, LEAST_CAPABILITY))
        return Support(False, f"the GPU has compute capability {had}, but kernels need {least} or more")
    if importlib.util.find_spec("cupy") is None:
        return Support(False, "CuPy isn't installed; `pip install 'aefast[gpu-cu13]'` (or gpu-cu12)")
    return Support(True)


@cache
def capability() -> tuple[int, int] | str:
    """The first device's compute capability, asked of the driver; why there is none, in words."""
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError:
        return f"no NVIDIA driver ({LIBRARY}) is installed"
    if error := cuda.cuInit(0):
        return f"the NVIDIA driver doesn't start (cuInit: error {error})"
    count, device, major, minor = (ctypes.c_int() for _ in range(4))
    if cuda.cuDeviceGetCount(ctypes.byref(count)) or count.value < 1:
        return "the NVIDIA driver sees no GPU"
    failed = cuda.cuDeviceGet(ctypes.byref(device), 0)
    for number, attribute in ((major, MAJOR), (minor, MINOR)):
        failed = failed or cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    if failed:
        return f"the NVIDIA driver doesn't tell what the GPU can do (error {failed})"
    return major.value, minor.value


@cache
def array_module() -> Any:
    """cupy, with Triton set to work on its device and stream; numpy in the interpreter."""
    if interpreting():
        import numpy as np

        return np
    import cupy
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.driver import CudaDriver, CudaLauncher, CudaUtils
    from triton.runtime import driver

    class CupyDriver(CudaDriver):  # type: ignore[misc]
        """Triton's driver asks torch where there is one, and else works on the default stream; this one asks CuPy."""

        def __init__(self) -> None:
            self.utils, self.launcher_cls = CudaUtils(), CudaLauncher

        def get_current_device(self) -> int:
            return int(cupy.cuda.Device().id)

        def set_current_device(self, device: int) -> None:
            cupy.cuda.Device(device).use()

        def get_device_capability(self, device: int) -> tuple[int, int]:
            digits = cupy.cuda.Device(device).compute_capability
            return int(digits[:-1]), int(digits[-1])

        def get_current_stream(self, device: int) -> int:
            return int(cupy.cuda.get_current_stream().ptr)

        def get_current_target(self) -> Any:
            major, minor = self.get_device_capability(self.get_current_device())
            return GPUTarget("cuda", 10 * major + minor, 32)

    driver.set_active(CupyDriver())
    return cupy
