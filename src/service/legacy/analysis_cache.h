#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "service/legacy/analysis.h"

namespace itemcrop::service::legacy {

/// SHA-256 of the image's bytes and of every setting that changes the answer (taxonomy, model,
/// thresholds, VLM ...), as 64 hexadecimal digits. Lengths are hashed too, so no two pairs collide
/// by concatenation.
std::string analysis_key(std::span<const std::byte> image, std::string_view settings);

struct AnalysisCacheOptions {
  std::chrono::milliseconds time_to_live{600'000};  ///< 0: nothing is kept (runs are still shared)
  std::size_t max_bytes = 64'000'000;               ///< of all results; the least recently used go
  /// Steady clock; empty: std::chrono::steady_clock.
  std::function<std::chrono::steady_clock::time_point()> now;
};

/// Results by content, each computed once at a time: while one caller computes a key, others who
/// ask for it wait for that result. Thread-safe. Must outlive its tickets.
class AnalysisCache {
 public:
  using Value = std::shared_ptr<const Analysis>;

  /// The right and duty to compute one key. Movable; dropped without complete() or fail() it passes
  /// to the next who waits.
  class Ticket {
   public:
    Ticket(Ticket&& other) noexcept;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();

    /// Stores the result and gives it to all who wait. At most one of complete, fail, once.
    void complete(const Value& value);
    /// Gives the failure to all who wait; nothing is stored. kCancelled and kDeadlineExceeded are
    /// this caller's own: then the next who waits gets the ticket instead.
    void fail(const std::exception_ptr& problem);

   private:
    friend class AnalysisCache;
    Ticket(AnalysisCache* cache, std::string key) noexcept;
    void pass_on() noexcept;

    AnalysisCache* cache_ = nullptr;  // null: used or moved from
    std::string key_;
  };

  /// Exactly one of the three.
  struct Outcome {
    Value value;                        ///< the result
    bool cached = false;                ///< value: was there already or was computed for another
    std::exception_ptr problem;         ///< the computing caller's failure
    std::optional<Ticket> ticket = {};  ///< compute it yourself
  };
  /// Called once, without a lock held: within join(), or later from the thread that completes the
  /// key. Must not throw and should be quick (post the work elsewhere).
  using Ready = std::function<void(Outcome)>;

  explicit AnalysisCache(AnalysisCacheOptions options = {});
  ~AnalysisCache();
  AnalysisCache(const AnalysisCache&) = delete;
  AnalysisCache& operator=(const AnalysisCache&) = delete;

  /// Calls `ready` at once with the result or the ticket, or once the caller that computes the key
  /// has ended.
  void join(const std::string& key, Ready ready);

  std::size_t entries() const;
  std::size_t bytes() const;
  void clear();  ///< forgets results; runs under way go on

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::service::legacy
