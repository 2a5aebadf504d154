#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "backend/cuda/products.h"
#include "backend/cuda/runtime.h"

namespace itemcrop::cuda {

/// What commands run on.
struct CommandContext {
  Stream stream = nullptr;
  Products* products = nullptr;
  void* workspace = nullptr;  ///< Products::kWorkspaceBytes
};

/// A copy between pinned and device memory, or within the device.
struct Copy {
  void* to = nullptr;
  const void* from = nullptr;
  std::size_t bytes = 0;
};

/// Device work, written down before it runs: launches, products and copies with their parameters
/// as plain bytes. Two lists of equal bytes do the same work, which is how work that was recorded
/// as a graph is found again (graph_cache.h): nothing that a launch depends on can be forgotten.
class CommandList {
 public:
  template <class Params>
  void add(void (*launch)(Stream, const Params&), const Params& params) {
    const auto thunk = [](const CommandContext& context, Function function,
                          const std::byte* bytes) {
      reinterpret_cast<void (*)(Stream, const Params&)>(function)(context.stream,
                                                                  read<Params>(bytes));
    };
    append(thunk, reinterpret_cast<Function>(launch), params);
  }
  void add(const Product& product) {
    const auto thunk = [](const CommandContext& context, Function, const std::byte* bytes) {
      context.products->run(context.stream, context.workspace, read<Product>(bytes));
    };
    append(thunk, nullptr, product);
  }
  void add(const Copy& copy) {
    const auto thunk = [](const CommandContext& context, Function, const std::byte* bytes) {
      const Copy one = read<Copy>(bytes);
      cuda::copy(context.stream, one.to, one.from, one.bytes);
    };
    append(thunk, nullptr, copy);
  }

  void add(const CommandList& other) {
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    count_ += other.count_;
  }

  void run(const CommandContext& context) const;
  void clear() noexcept;

  std::size_t size() const noexcept { return count_; }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  using Function = void (*)();
  using Run = void (*)(const CommandContext&, Function, const std::byte*);
  struct Header {
    Run run;
    Function function;
    std::size_t bytes;
  };

  template <class Params>
  static Params read(const std::byte* bytes) {
    Params params;
    std::memcpy(&params, bytes, sizeof(Params));
    return params;
  }

  template <class Params>
  void append(Run thunk, Function function, Params params) {
    static_assert(std::is_trivially_copyable_v<Params>);
    __builtin_clear_padding(&params);  // bytes between members are compared too
    append(Header{thunk, function, sizeof(Params)}, &params);
  }
  void append(const Header& header, const void* params);

  std::vector<std::byte> bytes_;
  std::size_t count_ = 0;
};

}  // namespace itemcrop::cuda
