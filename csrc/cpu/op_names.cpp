#include "cpu/op_names.h"

namespace aefast::cpu {
namespace {

constexpr auto transposed = Direction::transposed;
const std::map<std::string, NamedOp> kOps = {
    {"gather", {Op::gather}},
    {"batch_scale", {Op::batch_scale}},
    {"corrupt", {Op::corrupt}},
    {"linear_act", {Op::linear_act}},
    {"linear_loss_grad", {Op::linear_loss_grad}},
    {"linear_loss", {Op::linear_loss}},
    {"linear_dgrad", {Op::linear_dgrad}},
    {"linear_wgrad", {Op::linear_wgrad}},
    {"conv2d_act", {Op::conv_act}},
    {"conv2d_loss_grad", {Op::conv_loss_grad}},
    {"conv2d_loss", {Op::conv_loss}},
    {"conv2d_dgrad", {Op::conv_dgrad, transposed}},
    {"conv2d_wgrad", {Op::conv_wgrad}},
    {"conv_transpose2d_act", {Op::conv_act, transposed}},
    {"conv_transpose2d_loss_grad", {Op::conv_loss_grad, transposed}},
    {"conv_transpose2d_loss", {Op::conv_loss, transposed}},
    {"conv_transpose2d_dgrad", {Op::conv_dgrad}},
    {"conv_transpose2d_wgrad", {Op::conv_wgrad, transposed}},
    {"pool2d", {Op::pool}},
    {"pool2d_dgrad", {Op::pool_dgrad}},
    {"upsample2d", {Op::upsample}},
    {"upsample2d_dgrad", {Op::upsample_dgrad}},
    {"transpose_rows", {Op::transpose_rows}},
    {"bias_grad", {Op::bias_grad}},
    {"gaussian_latent", {Op::gaussian_latent}},
    {"gaussian_latent_backward", {Op::gaussian_latent_backward}},
    {"sparsity_penalty", {Op::sparsity_penalty}},
    {"sparsity_penalty_backward", {Op::sparsity_penalty_backward}},
    {"batch_loss", {Op::batch_loss}},
    {"update", {Op::update}},
};

}  // namespace

const NamedOp* find_op(const std::string& name) {
  const auto found = kOps.find(name);
  return found != kOps.end() ? &found->second : nullptr;
}

}  // namespace aefast::cpu
