// This instruction set's row of function pointers.
#include "cpu/bfloat16.h"
#include "cpu/ops.h"
#include "cpu/tile.h"

namespace aefast::cpu {

const Kernels* AEFAST_JOIN(kernels_, AEFAST_ISA)() {
  using namespace AEFAST_ISA_NS;
  static const Kernels float32 = {
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
      conv_panels,
      conv_pack_units,
      conv_pack,
      conv_scratch,
      conv_act,
      conv_loss_grad,
      conv_dgrad,
      conv_wgrad,
      channel_sums,
      pool,
      pool_dgrad,
      upsample,
      upsample_dgrad,
      transpose_rows,
  };
  static const Kernels bfloat16 = [] {
    Kernels k = float32;
    k.panel_pair = PAIR;
    k.pack = pack_bfloat16;
    k.linear_act = linear_act_bfloat16;
    k.linear_loss_grad = linear_loss_grad_bfloat16;
    k.linear_dgrad = linear_dgrad_bfloat16;
    k.linear_wgrad = linear_wgrad_bfloat16;
    k.conv_pack = conv_pack_bfloat16;
    k.conv_act = conv_act_bfloat16;
    k.conv_loss_grad = conv_loss_grad_bfloat16;
    k.conv_dgrad = conv_dgrad_bfloat16;
    k.conv_wgrad = conv_wgrad_bfloat16;
    // Entries of sparse rows are multiplied in float32 only.
    k.linear_act_sparse = nullptr;
    k.linear_wgrad_sparse = nullptr;
    return k;
  }();
  static const Kernels table = [] {
    Kernels k = float32;
    k.bfloat16 = &bfloat16;
    return k;
  }();
  return &table;
}

}  // namespace aefast::cpu
