#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <string>
#include <tuple>

#include <omp.h>

#include "itemcrop/error.h"

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/rows.h"
#include "core/host_block.h"
#include "dnnl.hpp"

namespace itemcrop::cpu {
namespace {

using dnnl::memory;

/// oneDNN splits work by OpenMP's thread count, an OpenMP setting of each thread. Tiles are already
/// spread over threads here, so it is one while oneDNN runs on any of them.
class OneThread {
 public:
  OneThread() : previous_(omp_get_max_threads()) {
    if (previous_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (previous_ != 1) omp_set_num_threads(previous_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int previous_;
};

template <class F>
auto translate_errors(F&& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) {
      throw Error(ErrorCode::kOutOfMemory, "oneDNN cannot allocate memory for a matrix product");
    }
    throw Error(ErrorCode::kInternal, std::string("oneDNN: ") + error.what());
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kOutOfMemory, "cannot allocate the weights of a matrix product");
  }
}

memory::data_type data_type(Operand operand) {
  return operand == Operand::kBf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

/// What distinguishes one compiled product from another.
struct Shape {
  std::int64_t rows, inputs, outputs, x_stride, y_stride;
  Operand x_type, y_type;
  ops::Activation activation;

  friend auto operator<=>(const Shape&, const Shape&) = default;
};

struct Product {
  dnnl::matmul primitive;
  memory::desc x, y, scratchpad;
};

memory::desc bias_desc(std::int64_t outputs) {
  return {{1, outputs}, memory::data_type::f32, memory::format_tag::ab};
}

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const Shape& shape,
                                      const memory::desc& weight) {
  const memory::desc x({shape.rows, shape.inputs}, data_type(shape.x_type),
                       memory::dims{shape.x_stride, 1});
  const memory::desc y({shape.rows, shape.outputs}, data_type(shape.y_type),
                       memory::dims{shape.y_stride, 1});
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (shape.activation != ops::Activation::kNone) {
    dnnl::post_ops post_ops;
    const auto algorithm = shape.activation == ops::Activation::kRelu
                               ? dnnl::algorithm::eltwise_relu
                               : dnnl::algorithm::eltwise_gelu_erf;
#if DNNL_VERSION_MAJOR >= 3
    post_ops.append_eltwise(algorithm, 0.0F, 0.0F);
#else
    post_ops.append_eltwise(1.0F, algorithm, 0.0F, 0.0F);
#endif
    attributes.set_post_ops(post_ops);
  }
#if DNNL_VERSION_MAJOR >= 3
  return {engine, x, weight, bias_desc(shape.outputs), y, attributes};
#else
  return {{x, weight, bias_desc(shape.outputs), y}, attributes, engine};
#endif
}

/// Compiled products, shared by an engine's weights; emptied when full.
class ProductCache {
 public:
  explicit ProductCache(const dnnl::engine& engine) : engine_(engine) {}

  std::shared_ptr<const Product> get(const Shape& shape, const memory::desc& weight) {
    {
      const std::shared_lock lock(mutex_);
      if (const auto found = products_.find(shape); found != products_.end()) return found->second;
    }
    const auto description = describe(engine_, shape, weight);
    auto product = std::make_shared<const Product>(
        Product{dnnl::matmul(description), description.src_desc(), description.dst_desc(),
                description.scratchpad_desc()});
    const std::unique_lock lock(mutex_);
    if (products_.size() >= kCapacity) products_.clear();
    return products_.try_emplace(shape, std::move(product)).first->second;
  }

  const dnnl::engine& engine() const noexcept { return engine_; }

 private:
  static constexpr std::size_t kCapacity = 1024;

  dnnl::engine engine_;
  std::shared_mutex mutex_;
  std::map<Shape, std::shared_ptr<const Product>> products_;
};

class OneDnnLinear final : public PackedLinear {
 public:
  OneDnnLinear(const LinearSource& source, Operand operand, std::shared_ptr<ProductCache> cache);

  std::size_t bytes() const noexcept override {
    return weight_desc_.get_size() + static_cast<std::size_t>(outputs()) * sizeof(float);
  }
  void multiply(const GemmTile& tile, Workspace& workspace) const override;

 private:
  std::shared_ptr<ProductCache> cache_;
  memory::desc weight_desc_;
  HostBlock block_;
  memory weight_, bias_;
};

OneDnnLinear::OneDnnLinear(const LinearSource& source, Operand operand,
                           std::shared_ptr<ProductCache> cache)
    : PackedLinear(source.inputs, source.outputs, operand), cache_(std::move(cache)) {
  // The packed layout does not depend on the rows of a tile; the one of a usual tile is asked for
  // here and prescribed to every product.
  constexpr std::int64_t kUsualRows = 64;
  const Shape shape{kUsualRows, inputs(),         outputs(),     inputs(),
                    outputs(),  Operand(operand), Operand::kF32, ops::Activation::kNone};
  const memory::desc any({inputs(), outputs()}, data_type(operand), memory::format_tag::any);
  weight_desc_ = describe(cache_->engine(), shape, any).weights_desc();
  block_ = allocate_host_block(weight_desc_.get_size());
  if (block_ == nullptr) throw std::bad_alloc();
  weight_ = memory(weight_desc_, cache_->engine(), block_.get());
  bias_ = memory(bias_desc(outputs()), cache_->engine());

  const memory::desc plain_desc({inputs(), outputs()}, memory::data_type::f32,
                                memory::dims{source.input_stride, source.output_stride});
  memory plain(plain_desc, cache_->engine(), const_cast<float*>(source.weight));
  dnnl::stream stream(cache_->engine());
  dnnl::reorder(plain, weight_).execute(stream, plain, weight_);
  stream.wait();
  if (operand == Operand::kRoundedF32) {
    const auto values = static_cast<std::int64_t>(weight_desc_.get_size() / sizeof(float));
    kernels::round_rows(static_cast<float*>(weight_.get_data_handle()), values, 1, values);
  }

  auto* bias = static_cast<float*>(bias_.get_data_handle());
  for (std::int64_t i = 0; i < outputs(); ++i) {
    bias[i] = source.bias != nullptr ? source.bias[i * source.bias_stride] : 0.0F;
  }
}

void OneDnnLinear::multiply(const GemmTile& tile, Workspace& workspace) const {
  const OneThread one_thread;
  translate_errors([&] {
    const Operand y_type = tile.y_type == Operand::kBf16 ? Operand::kBf16 : Operand::kF32;
    const Shape shape{tile.rows,     inputs(),  outputs(), tile.x_stride,
                      tile.y_stride, operand(), y_type,    tile.activation};
    const auto product = cache_->get(shape, weight_desc_);
    const dnnl::engine& engine = cache_->engine();
    const memory x(product->x, engine, const_cast<void*>(tile.x));
    const memory y(product->y, engine, tile.y);
    const memory scratchpad(product->scratchpad, engine,
                            workspace.take_bytes(product->scratchpad.get_size()));
    dnnl::stream stream(engine);
    product->primitive.execute(stream, {{DNNL_ARG_SRC, x},
                                        {DNNL_ARG_WEIGHTS, weight_},
                                        {DNNL_ARG_BIAS, bias_},
                                        {DNNL_ARG_DST, y},
                                        {DNNL_ARG_SCRATCHPAD, scratchpad}});
    stream.wait();
  });
  if (tile.y_type == Operand::kRoundedF32) {
    kernels::round_rows(static_cast<float*>(tile.y), tile.y_stride, tile.rows, outputs());
  }
}

class OneDnnEngine final : public GemmEngine {
 public:
  explicit OneDnnEngine(Operand bf16_operand)
      : bf16_operand_(bf16_operand),
        cache_(std::make_shared<ProductCache>(dnnl::engine(dnnl::engine::kind::cpu, 0))) {}

  std::unique_ptr<const PackedLinear> pack(const LinearSource& source, bool bf16) const override {
    const OneThread one_thread;
    return translate_errors([&] {
      return std::make_unique<const OneDnnLinear>(source, bf16 ? bf16_operand_ : Operand::kF32,
                                                  cache_);
    });
  }

 private:
  Operand bf16_operand_;
  std::shared_ptr<ProductCache> cache_;
};

}  // namespace

std::shared_ptr<const GemmEngine> make_gemm_engine(Isa isa) {
  // Below AVX-512 this oneDNN has no product that takes packed weights: it would pack them anew
  // for every tile.
  if (isa != Isa::kAvx512 && !has_bf16_products(isa)) return make_portable_gemm_engine();
  return translate_errors([&]() -> std::shared_ptr<const GemmEngine> {
    return std::make_shared<const OneDnnEngine>(has_bf16_products(isa) ? Operand::kBf16
                                                                       : Operand::kRoundedF32);
  });
}

bool has_bf16_products(Isa isa) noexcept { return isa == Isa::kAvx512Bf16 || isa == Isa::kAmx; }

void limit_gemm_isa(Isa isa) noexcept {
  // Refused where the program has already used oneDNN itself: its choice then stands.
  switch (isa) {
    case Isa::kAvx512:
      dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core);
      return;
    case Isa::kAvx512Bf16:
      dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
      return;
    case Isa::kAmx:
      dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_amx);
      return;
    case Isa::kScalar:
    case Isa::kAvx2:
    case Isa::kNeon:
      return;  // products there are not oneDNN's
  }
}

}  // namespace itemcrop::cpu
