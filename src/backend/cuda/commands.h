#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "backend/cuda/products.h"
#include "backend/cuda/runtime.h"
#include "ops/executor.h"

namespace itemcrop::cuda {

using ops::Branch;

/// What commands run on: a stream a branch, and what orders them.
struct CommandContext {
  Stream streams[2] = {};
  void* workspaces[2] = {};  ///< Products::kWorkspaceBytes each
  Products* products = nullptr;
  Event* fork = nullptr;
  Event* join = nullptr;
  bool early_launches = false;  ///< kernels::early_launches, of kernels after kernels

  Stream main() const noexcept { return streams[static_cast<std::size_t>(Branch::kMain)]; }
  Stream side() const noexcept { return streams[static_cast<std::size_t>(Branch::kSide)]; }
};

/// A copy between pinned and device memory, or within the device.
struct Copy {
  void* to = nullptr;
  const void* from = nullptr;
  std::size_t bytes = 0;
};

/// Device work, recorded before it runs: launches, products and copies with their parameters
/// as plain bytes. Two lists of equal bytes do the same work, which is how work that was recorded
/// as a graph is found again (graph_cache.h): nothing that a launch depends on can be forgotten.
class CommandList {
 public:
  template <class Params>
  void add(Branch branch, void (*launch)(Stream, const Params&), const Params& params) {
    const auto thunk = [](const CommandContext& context, const Header& header,
                          const std::byte* bytes) {
      reinterpret_cast<void (*)(Stream, const Params&)>(header.function)(
          context.streams[header.branch], read<Params>(bytes));
    };
    append(Kind::kKernel, branch, thunk, reinterpret_cast<Function>(launch), params);
  }
  void add(Branch branch, const Product& product) {
    const auto thunk = [](const CommandContext& context, const Header& header,
                          const std::byte* bytes) {
      context.products->run(context.streams[header.branch], context.workspaces[header.branch],
                            read<Product>(bytes));
    };
    append(Kind::kKernel, branch, thunk, nullptr, product);
  }
  /// On the main branch.
  void add(const Copy& copy) {
    const auto thunk = [](const CommandContext& context, const Header&, const std::byte* bytes) {
      const Copy one = read<Copy>(bytes);
      cuda::copy(context.main(), one.to, one.from, one.bytes);
    };
    append(Kind::kCopy, Branch::kMain, thunk, nullptr, copy);
  }
  /// The side branch waits for the main one, or the other way round. A list that forks also joins.
  void add_fork() {
    const auto thunk = [](const CommandContext& context, const Header&, const std::byte*) {
      context.fork->record(context.main());
      context.fork->make_wait(context.side());
    };
    append(Kind::kFork, Branch::kMain, thunk, nullptr, Order{});
  }
  void add_join() {
    const auto thunk = [](const CommandContext& context, const Header&, const std::byte*) {
      context.join->record(context.side());
      context.join->make_wait(context.main());
    };
    append(Kind::kJoin, Branch::kMain, thunk, nullptr, Order{});
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
  struct Header;
  using Run = void (*)(const CommandContext&, const Header&, const std::byte*);
  enum class Kind : std::uint16_t { kKernel, kCopy, kFork, kJoin };
  struct Header {
    Run run;
    Function function;
    std::uint32_t bytes;
    std::uint16_t branch;  ///< a Branch
    Kind kind;
  };
  /// Of a fork or a join, which have no parameters.
  struct Order {
    std::uint64_t none = 0;
  };

  template <class Params>
  static Params read(const std::byte* bytes) {
    Params params;
    std::memcpy(&params, bytes, sizeof(Params));
    return params;
  }

  template <class Params>
  void append(Kind kind, Branch branch, Run thunk, Function function, Params params) {
    static_assert(std::is_trivially_copyable_v<Params>);
    // Bytes between members are compared too. Clang 14 lacks this, so it may record a graph twice.
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&params);
#endif
    append(Header{thunk, function, sizeof(Params), static_cast<std::uint16_t>(branch), kind},
           &params);
  }
  void append(const Header& header, const void* params);

  std::vector<std::byte> bytes_;
  std::size_t count_ = 0;
};

}  // namespace itemcrop::cuda
