// The module aefast._cpu.
#include "bindings/module.h"

PYBIND11_MODULE(_cpu, m, py::mod_gil_not_used()) {
  m.doc() = "The cpu backend's native code: ops on NumPy arrays, programs, instruction sets and threads.";
  aefast::bindings::bind_runtime(m);
  aefast::bindings::bind_linear_ops(m);
  aefast::bindings::bind_conv_ops(m);
  aefast::bindings::bind_batch_ops(m);
  aefast::bindings::bind_program(m);
}
