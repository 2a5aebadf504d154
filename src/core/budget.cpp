#include "core/budget.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <list>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "itemcrop/error.h"

namespace itemcrop {

std::int64_t share_beside(std::int64_t total, std::int64_t others, double share) noexcept {
  const std::int64_t left = std::max<std::int64_t>(total - others, 0);
  if (share >= 1) return left;  // also where a double is not exact
  const auto part = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(left)));
  const std::int64_t reserve = total / 8;
  const std::int64_t small = (total + 63) / 64;
  return std::max(std::min(part, left - reserve), std::min(small, left));
}

struct Lease::State : std::enable_shared_from_this<State> {
  struct Waiter {
    std::int64_t amount;
    std::string caller;
    Budget::Done done;
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
  };
  using Waiters = std::list<std::shared_ptr<Waiter>>;

  explicit State(Budget::Limits given) : limits(std::move(given)) {}

  std::int64_t share_of(const std::string& caller) const {
    const auto found = shares.find(caller);
    return found == shares.end() ? 0 : found->second;
  }

  bool has_share_limit(const std::string& caller) const {
    return limits.caller_share < 1 && !caller.empty();
  }

  /// What a caller may hold now, who has a limit and holds `held`.
  std::int64_t limit_beside(std::int64_t held) const {
    return share_beside(limits.total, held > 0 ? used - held : 0, limits.caller_share);
  }

  // Comparisons are by subtraction: an amount may be near the type's end.
  bool share_fits(std::int64_t amount, const std::string& caller) const {
    if (!has_share_limit(caller)) return true;
    const std::int64_t held = share_of(caller);
    return amount <= limit_beside(held) - held;
  }
  bool total_fits(std::int64_t amount) const { return amount <= limits.total - used; }

  void add(std::int64_t amount, const std::string& caller) {
    used += amount;
    peak = std::max(peak, used);
    if (!caller.empty()) shares[caller] += amount;
  }

  /// Under the lock; throws for what can never fit.
  void check_possible(std::int64_t amount, const std::string& caller) const {
    if (amount < 0) throw std::logic_error("a negative part of " + limits.name);
    if (amount > limits.total) {
      throw Error(ErrorCode::kLimitExceeded, limits.name + ": " + std::to_string(amount) +
                                                 " are more than the limit of " +
                                                 std::to_string(limits.total));
    }
    if (has_share_limit(caller) && amount > limits.for_each_caller()) {
      throw Error(ErrorCode::kLimitExceeded, limits.caller_name + ": " + std::to_string(amount) +
                                                 " are more than one caller's limit of " +
                                                 std::to_string(limits.for_each_caller()));
    }
  }

  /// Under the lock.
  void take(std::int64_t amount, const std::string& caller) {
    check_possible(amount, caller);
    if (!share_fits(amount, caller)) {
      const std::int64_t held = share_of(caller);
      throw Error(ErrorCode::kOverloaded, limits.caller_name + ": one caller may have " +
                                              std::to_string(limit_beside(held)) +
                                              " beside what others hold, this one has " +
                                              std::to_string(held) + " and asks for " +
                                              std::to_string(amount) + " more");
    }
    if (!total_fits(amount)) {
      throw Error(ErrorCode::kOverloaded, limits.name + ": " + std::to_string(used) + " of " +
                                              std::to_string(limits.total) + " are in use, " +
                                              std::to_string(amount) + " more do not fit");
    }
    add(amount, caller);
  }

  void give_back(std::int64_t amount, const std::string& caller) noexcept {
    Waiters ready;
    {
      const std::lock_guard lock(mutex);
      used -= amount;
      if (!caller.empty()) {
        const auto share = shares.find(caller);
        if ((share->second -= amount) == 0) shares.erase(share);
      }
      admit_waiters(ready);
    }
    hand_out(ready);
  }

  /// Under the lock: who is served next, were there room; the end if each waits for their share.
  Waiters::iterator next_waiter() {
    auto next = waiters.end();
    std::int64_t least = 0;
    for (auto at = waiters.begin(); at != waiters.end(); ++at) {
      const std::int64_t held = share_of((*at)->caller);
      if ((next != waiters.end() && held >= least) || !share_fits((*at)->amount, (*at)->caller)) {
        continue;
      }
      next = at;
      least = held;
      if (held == 0) break;
    }
    return next;
  }

  /// Under the lock: moves those who fit now into `ready`.
  void admit_waiters(Waiters& ready) {
    for (auto next = next_waiter(); next != waiters.end(); next = next_waiter()) {
      if (!total_fits((*next)->amount)) return;
      add((*next)->amount, (*next)->caller);
      ready.splice(ready.end(), waiters, next);
    }
  }

  /// Without the lock: callbacks may come back here.
  void hand_out(Waiters& ready) noexcept {
    for (const auto& waiter : ready) {
      waiter->done(nullptr, Lease(shared_from_this(), waiter->caller, waiter->amount));
    }
  }

  /// `done` comes once, perhaps before this returns.
  std::shared_ptr<Waiter> enqueue(std::int64_t amount, const std::string& caller,
                                  std::stop_token stop, Budget::Done done) {
    auto waiter = std::make_shared<Waiter>();
    waiter->amount = amount;
    waiter->caller = caller;
    waiter->done = std::move(done);
    Waiters ready;
    {
      const std::lock_guard lock(mutex);
      check_possible(amount, caller);
      waiters.push_back(waiter);
      admit_waiters(ready);
    }
    hand_out(ready);
    // It may run at once, and at any time until the waiter's destruction; then `cancel` finds
    // nobody.
    waiter->on_stop.emplace(
        std::move(stop), [state = weak_from_this(), weak = std::weak_ptr(waiter)] {
          const auto self = state.lock();
          const auto held = weak.lock();
          if (self && held) {
            self->cancel(held, ErrorCode::kCancelled, "nobody waits for room any more");
          }
        });
    return waiter;
  }

  void cancel(const std::shared_ptr<Waiter>& waiter, ErrorCode code,
              const std::string& reason) noexcept {
    Waiters ready;
    {
      const std::lock_guard lock(mutex);
      const auto found = std::find(waiters.begin(), waiters.end(), waiter);
      if (found == waiters.end()) return;
      waiters.erase(found);
      admit_waiters(ready);  // it may have been in front of others that fit
    }
    hand_out(ready);
    const auto problem = std::make_exception_ptr(Error(code, limits.name + ": " + reason));
    waiter->done(problem, Lease());
  }

  const Budget::Limits limits;
  mutable std::mutex mutex;
  std::int64_t used = 0;
  std::int64_t peak = 0;
  std::unordered_map<std::string, std::int64_t> shares;
  Waiters waiters;
};

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    budget_ = std::exchange(other.budget_, nullptr);
    caller_ = std::move(other.caller_);
    amount_ = std::exchange(other.amount_, 0);
  }
  return *this;
}

void Lease::grow(std::int64_t more) {
  if (budget_ == nullptr) throw std::logic_error("a lease of nothing cannot grow");
  const std::lock_guard lock(budget_->mutex);
  budget_->take(more, caller_);
  amount_ += more;
}

bool Lease::try_grow(std::int64_t more) {
  if (budget_ == nullptr) throw std::logic_error("a lease of nothing cannot grow");
  const std::lock_guard lock(budget_->mutex);
  if (!budget_->share_fits(more, caller_) || !budget_->total_fits(more)) return false;
  budget_->add(more, caller_);
  amount_ += more;
  return true;
}

// Giving back may serve a waiter, whose callback may destroy or move this lease: nothing of it is
// touched after that.
void Lease::shrink(std::int64_t less) noexcept {
  less = std::min(less, amount_);
  if (budget_ == nullptr || less <= 0) return;
  amount_ -= less;
  const std::shared_ptr<State> budget = budget_;
  budget->give_back(less, std::string(caller_));
}

void Lease::resize(std::int64_t amount) {
  if (amount > amount_) {
    grow(amount - amount_);
  } else {
    shrink(amount_ - amount);
  }
}

void Lease::release() noexcept {
  const std::shared_ptr<State> budget = std::exchange(budget_, nullptr);
  const std::int64_t amount = std::exchange(amount_, 0);
  if (budget != nullptr && amount > 0) budget->give_back(amount, std::string(std::move(caller_)));
}

Budget::Budget(Limits limits) : state_(std::make_shared<Lease::State>(std::move(limits))) {}

Lease Budget::take(std::int64_t amount, const std::string& caller) {
  Lease lease(state_, caller, 0);
  lease.grow(amount);
  return lease;
}

std::optional<Lease> Budget::try_take(std::int64_t amount, const std::string& caller) {
  Lease lease(state_, caller, 0);
  if (!lease.try_grow(amount)) return std::nullopt;
  return lease;
}

void Budget::wait_async(std::int64_t amount, const std::string& caller, std::stop_token stop,
                        Done done) {
  state_->enqueue(amount, caller, std::move(stop), std::move(done));
}

Lease Budget::wait(std::int64_t amount, const std::string& caller, std::stop_token stop,
                   std::optional<Clock::time_point> deadline) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::exception_ptr problem;
  Lease lease;
  const auto waiter =
      state_->enqueue(amount, caller, std::move(stop), [&](std::exception_ptr failed, Lease given) {
        const std::lock_guard lock(mutex);
        problem = std::move(failed);
        lease = std::move(given);
        done = true;
        changed.notify_one();
      });
  const auto is_done = [&done] { return done; };
  std::unique_lock lock(mutex);
  if (!deadline) {
    changed.wait(lock, is_done);
  } else if (!changed.wait_until(lock, *deadline, is_done)) {
    lock.unlock();
    state_->cancel(waiter, ErrorCode::kDeadlineExceeded,
                   "the deadline passed before there was room");
    lock.lock();
    changed.wait(lock, is_done);  // room may have come at the same moment
  }
  if (problem) std::rethrow_exception(problem);
  return lease;
}

std::int64_t Budget::used() const {
  const std::lock_guard lock(state_->mutex);
  return state_->used;
}

std::int64_t Budget::used_by(const std::string& caller) const {
  const std::lock_guard lock(state_->mutex);
  return state_->share_of(caller);
}

std::int64_t Budget::peak() const {
  const std::lock_guard lock(state_->mutex);
  return state_->peak;
}

const Budget::Limits& Budget::limits() const noexcept { return state_->limits; }

}  // namespace itemcrop
