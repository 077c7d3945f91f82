// This instruction set's row of function pointers.
#include "cpu/ops.h"
#include "cpu/tile.h"

namespace aefast::cpu {

const Kernels* AEFAST_JOIN(kernels_, AEFAST_ISA)() {
  using namespace AEFAST_ISA_NS;
  static const Kernels table = {
      AEFAST_ISA_NAME,
      NR,
      gradient_scratch,
      pack,
      gather,
      corrupt,
      linear_act,
      linear_loss_grad,
      linear_dgrad,
      linear_wgrad,
      gaussian_latent,
      gaussian_latent_backward,
      sparsity_penalty,
      sparsity_penalty_backward,
      update,
      shuffle,
      activate,
      vector_math,
      gather_entries,
      linear_act_sparse,
      linear_wgrad_sparse,
  };
  return &table;
}

}  // namespace aefast::cpu
