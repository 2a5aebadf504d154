#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

namespace itemcrop {

class Budget;

/// A part of a budget, given back when it is destroyed. It may outlive its budget. One thread at a
/// time; leases of one budget are independent of each other.
class Lease {
 public:
  Lease() = default;  ///< of nothing
  Lease(Lease&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)),
        caller_(std::move(other.caller_)),
        amount_(std::exchange(other.amount_, 0)) {}
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

  std::int64_t amount() const noexcept { return amount_; }

  /// Takes `more` of the same budget for the same caller. Throws as Budget::take, and then holds
  /// what it held. A lease of nothing cannot grow: std::logic_error.
  void grow(std::int64_t more);
  /// The same without an exception; false if there is no room.
  bool try_grow(std::int64_t more);
  /// Gives `less` back, at most what it holds.
  void shrink(std::int64_t less) noexcept;
  /// Grows or shrinks to `amount`.
  void resize(std::int64_t amount);
  void release() noexcept;

 private:
  friend class Budget;
  struct State;
  Lease(std::shared_ptr<State> budget, std::string caller, std::int64_t amount)
      : budget_(std::move(budget)), caller_(std::move(caller)), amount_(amount) {}

  std::shared_ptr<State> budget_;
  std::string caller_;
  std::int64_t amount_ = 0;
};

/// What one caller may hold of a total of which others hold a part: `share` of what they leave,
/// rounded up, as long as an eighth of the total stays free, and a 64th of the total in any case
/// that there is room. So several callers together leave room for others (a dynamic threshold with
/// a reserve: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet
/// Switches", IEEE/ACM Transactions on Networking 6, 1998). A share of 1: all that others leave.
std::int64_t share_beside(std::int64_t total, std::int64_t others, double share) noexcept;

/// A bounded amount of something (bytes, places, connections), in all and for each caller.
/// A caller may hold what share_beside says; whoever holds nothing yet may take as much as if they
/// were alone, so that a large amount is not kept waiting by many small ones.
/// Of those who wait for room, the caller who holds least comes first, and of one caller's in
/// order; whoever waits for room in their own share does not hold up others. Thread-safe.
class Budget {
 public:
  using Clock = std::chrono::steady_clock;

  struct Limits {
    std::string name;              ///< the setting, for messages: "max_buffered_bytes"
    std::int64_t total = 0;        ///< in all
    std::string caller_name = {};  ///< the setting of the share below
    double caller_share = 1;       ///< above 0; 1: whoever comes may take all

    /// The most that one caller can ever hold.
    std::int64_t for_each_caller() const noexcept { return share_beside(total, 0, caller_share); }
  };

  explicit Budget(Limits limits);

  /// Throws Error: kLimitExceeded if `amount` is more than a limit, kOverloaded if there is no room
  /// now. The message names the setting, its limit and the value. An empty `caller` is
  /// nobody's share: only the total counts.
  Lease take(std::int64_t amount, const std::string& caller = {});
  /// None if there is no room.
  std::optional<Lease> try_take(std::int64_t amount, const std::string& caller = {});

  /// Waits for room. Throws Error: kLimitExceeded for more than there can ever be, kCancelled when
  /// `stop` stops, kDeadlineExceeded at the deadline.
  Lease wait(std::int64_t amount, const std::string& caller = {}, std::stop_token stop = {},
             std::optional<Clock::time_point> deadline = {});
  /// The same without a thread that waits: `done` is called exactly once, with a lease or an
  /// exception, on any thread, also within this call; it must not throw. Throws, and does not call
  /// it, for kLimitExceeded. A deadline is a token that stops then.
  using Done = std::function<void(std::exception_ptr, Lease)>;
  void wait_async(std::int64_t amount, const std::string& caller, std::stop_token stop, Done done);

  std::int64_t used() const;
  std::int64_t used_by(const std::string& caller) const;
  /// The most that was ever used at a time.
  std::int64_t peak() const;
  const Limits& limits() const noexcept;

 private:
  std::shared_ptr<Lease::State> state_;
};

}  // namespace itemcrop
