// The ops of one instruction set; semantics in kernels.h, one file per op family.
#pragma once

#include "cpu/isa.h"
#include "cpu/kernels.h"

// The products' files compile twice: <name>_bfloat16.cpp includes <name>.cpp for the operands of that dtype, a
// translation unit of its own, in which nothing can change how the float32 kernels are inlined.
#if defined(AEFAST_BFLOAT16)
#define AEFAST_PRODUCT(name) name##_bfloat16
#else
#define AEFAST_PRODUCT(name) name
#endif

namespace aefast::cpu::AEFAST_ISA_NS {

void pack(Matrix w, float* panels, int64_t begin, int64_t end);
void gather(Source source, const int64_t* index, Scaling scaling, Matrix out, int64_t begin, int64_t end);
void corrupt(Matrix x, int kind, double level, double low, double high, NoiseAddress noise, Matrix out, int64_t begin,
             int64_t end);
void linear_act(Matrix x, const float* panels, const float* bias, int act, Matrix out, Matrix pre, int64_t begin,
                int64_t end);
void linear_loss_grad(Matrix h, const float* panels, const float* bias, int act, int loss, Matrix target,
                      const float* batch_scale, double scale, const float* feature_weight, float* row_loss,
                      Matrix delta, int64_t begin, int64_t end);
void linear_dgrad(Matrix delta, const float* panels_transposed, int act, Matrix saved, Matrix extra, Matrix out,
                  int64_t begin, int64_t end);
void linear_wgrad(Matrix delta, Matrix a, Matrix dw, float* db, bool accumulate, double* row_square_norm,
                  float* scratch, int64_t begin, int64_t end);
extern const int64_t gradient_scratch;
void gaussian_latent(Matrix moments, NoiseAddress noise, Matrix z, float* kl, int64_t begin, int64_t end);
void gaussian_latent_backward(Matrix moments, Matrix dz, const float* batch_scale, double beta, double free_bits,
                              NoiseAddress noise, Matrix out, int64_t begin, int64_t end);
void sparsity_penalty(Matrix h, const float* batch_scale, int kind, double weight, double target, float* mean,
                      double* value);
void sparsity_penalty_backward(Matrix h, const float* batch_scale, int kind, double weight, double target,
                               const float* mean, Matrix out, int64_t begin, int64_t end);
void update(UpdateRule rule, StepScalars scalars, double clip_scale, float* w, const float* g, float* slot0,
            float* slot1, float* ema, int64_t begin, int64_t end);
void shuffle(const Shuffle& shuffle, int64_t* out, int64_t begin, int64_t end);
void activate(int act, const float* z, float* out, int64_t n);
void vector_math(VectorFunction function, const float* x, float* out, int64_t n);
void gather_entries(Source source, const int64_t* index, Scaling scaling, Matrix spare, Entries out, int64_t begin,
                    int64_t end);
void linear_act_sparse(Entries x, int64_t depth, const float* panels, const float* bias, int act, Matrix out,
                       Matrix pre, int64_t begin, int64_t end);
void linear_wgrad_sparse(Matrix delta, Matrix a, Entries entries, Matrix dw, float* db, bool accumulate,
                         double* row_square_norm, float* scratch, int64_t begin, int64_t end);
void channel_sums(Matrix delta, int64_t channels, float* db, double* square_norm, int64_t begin, int64_t end);
void pool(const Geometry& geometry, Matrix x, int kind, Matrix out, int64_t begin, int64_t end);
void pool_dgrad(const Geometry& geometry, Matrix delta, Matrix x, int kind, int act, Matrix saved, Matrix extra,
                Matrix out, int64_t begin, int64_t end);
void upsample(const Geometry& geometry, Matrix x, Matrix out, int64_t begin, int64_t end);
void upsample_dgrad(const Geometry& geometry, Matrix delta, int act, Matrix saved, Matrix extra, Matrix out,
                    int64_t begin, int64_t end);
void transpose_rows(Matrix x, int64_t n, Matrix out, int64_t begin, int64_t end);
// What linear_wgrad does once dw stands: db, and the rows' square norms.
void finish_wgrad(Matrix delta, Matrix dw, float* db, bool accumulate, double* row_square_norm, int64_t begin,
                  int64_t end);

// Convolutions; conv.h says how they work.
int64_t conv_panels(const Geometry& geometry, Direction direction);
int64_t conv_pack_units(const Geometry& geometry, Direction direction);
int64_t conv_scratch(const Geometry& geometry);
void conv_pack(const Geometry& geometry, Direction direction, const float* w, float* panels, int64_t begin,
               int64_t end);
void conv_act(const Geometry& geometry, Direction direction, Matrix x, const float* panels, const float* bias, int act,
              Matrix out, Matrix pre, float* scratch, int64_t begin, int64_t end);
void conv_loss_grad(const Geometry& geometry, Direction direction, Matrix h, const float* panels, const float* bias,
                    int act, int loss, Matrix target, const float* batch_scale, double scale,
                    const float* feature_weight, float* row_loss, Matrix delta, float* scratch, int64_t begin,
                    int64_t end);
void conv_dgrad(const Geometry& geometry, Direction direction, Matrix delta, const float* panels, int act, Matrix saved,
                Matrix extra, Matrix out, float* scratch, int64_t begin, int64_t end);
void conv_wgrad(const Geometry& geometry, Matrix map, Matrix image, Matrix dw, bool accumulate, double* row_square_norm,
                float* scratch, int64_t begin, int64_t end);

// The same with bfloat16 products.
void pack_bfloat16(Matrix w, float* panels, int64_t begin, int64_t end);
void linear_act_bfloat16(Matrix x, const float* panels, const float* bias, int act, Matrix out, Matrix pre,
                         int64_t begin, int64_t end);
void linear_loss_grad_bfloat16(Matrix h, const float* panels, const float* bias, int act, int loss, Matrix target,
                               const float* batch_scale, double scale, const float* feature_weight, float* row_loss,
                               Matrix delta, int64_t begin, int64_t end);
void linear_dgrad_bfloat16(Matrix delta, const float* panels_transposed, int act, Matrix saved, Matrix extra,
                           Matrix out, int64_t begin, int64_t end);
void linear_wgrad_bfloat16(Matrix delta, Matrix a, Matrix dw, float* db, bool accumulate, double* row_square_norm,
                           float* scratch, int64_t begin, int64_t end);
void conv_pack_bfloat16(const Geometry& geometry, Direction direction, const float* w, float* panels, int64_t begin,
                        int64_t end);
void conv_act_bfloat16(const Geometry& geometry, Direction direction, Matrix x, const float* panels, const float* bias,
                       int act, Matrix out, Matrix pre, float* scratch, int64_t begin, int64_t end);
void conv_loss_grad_bfloat16(const Geometry& geometry, Direction direction, Matrix h, const float* panels,
                             const float* bias, int act, int loss, Matrix target, const float* batch_scale,
                             double scale, const float* feature_weight, float* row_loss, Matrix delta, float* scratch,
                             int64_t begin, int64_t end);
void conv_dgrad_bfloat16(const Geometry& geometry, Direction direction, Matrix delta, const float* panels, int act,
                         Matrix saved, Matrix extra, Matrix out, float* scratch, int64_t begin, int64_t end);
void conv_wgrad_bfloat16(const Geometry& geometry, Matrix map, Matrix image, Matrix dw, bool accumulate,
                         double* row_square_norm, float* scratch, int64_t begin, int64_t end);

}  // namespace aefast::cpu::AEFAST_ISA_NS
