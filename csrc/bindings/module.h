// The parts of the module.
#pragma once

#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace aefast::bindings {

void bind_runtime(py::module_& m);     // instruction sets, threads
void bind_linear_ops(py::module_& m);  // the matmul ops
void bind_conv_ops(py::module_& m);    // those on images
void bind_batch_ops(py::module_& m);   // the others
void bind_program(py::module_& m);     // Program

}  // namespace aefast::bindings
