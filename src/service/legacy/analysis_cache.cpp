#include "service/legacy/analysis_cache.h"

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <openssl/evp.h>

#include "itemcrop/error.h"

#include "core/hexadecimal.h"

namespace itemcrop::service::legacy {
namespace {

using Clock = std::chrono::steady_clock;

/// What an entry costs beside its result: nodes of the containers and the key in each.
constexpr std::size_t kEntryBytes = 512;

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

/// Whether a failure says something about this caller only.
bool is_callers_own(const std::exception_ptr& problem) {
  try {
    std::rethrow_exception(problem);
  } catch (const Error& error) {
    return error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kDeadlineExceeded;
  } catch (...) {
    return false;
  }
}

}  // namespace

std::size_t Analysis::bytes() const noexcept {
  std::size_t sum = sizeof(*this) + source.capacity() + fallback_reason.capacity();
  for (const crop::FoundItem& item : image.items) {
    sum += sizeof(item) + item.category.capacity() + item.prompt.capacity() +
           item.description.capacity() + item.detection.item.capacity();
    for (const ItemScore& score : item.detection.scores) sum += sizeof(score) + score.item.size();
    if (item.crop) sum += item.crop->name.capacity() + item.crop->url.capacity();
  }
  for (const std::string& word : image.not_found) sum += sizeof(word) + word.capacity();
  return sum;
}

std::string analysis_key(std::span<const std::byte> image, std::string_view settings) {
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
  std::array<std::uint8_t, 8> length{};
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(settings.size()) >> (8 * i));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const bool hashed = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1 &&
                      EVP_DigestUpdate(context.get(), length.data(), length.size()) == 1 &&
                      EVP_DigestUpdate(context.get(), settings.data(), settings.size()) == 1 &&
                      EVP_DigestUpdate(context.get(), image.data(), image.size()) == 1 &&
                      EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1;
  if (!hashed) throw Error(ErrorCode::kInternal, "OpenSSL could not compute SHA-256");
  return hexadecimal(std::as_bytes(std::span(digest.data(), size)));
}

struct AnalysisCache::State {
  struct Entry {
    Value value;
    std::size_t bytes = 0;
    std::list<std::string>::iterator use;                         // in `uses`
    std::multimap<Clock::time_point, std::string>::iterator end;  // in `ends`
  };
  using Entries = std::unordered_map<std::string, Entry>;

  explicit State(AnalysisCacheOptions given) : options(std::move(given)) {
    if (!options.now) options.now = [] { return Clock::now(); };
  }

  void erase(Entries::iterator at) {
    bytes -= at->second.bytes;
    uses.erase(at->second.use);
    ends.erase(at->second.end);
    entries.erase(at);
  }

  void drop_expired() {
    const Clock::time_point now = options.now();
    while (!ends.empty() && ends.begin()->first <= now) erase(entries.find(ends.begin()->second));
  }

  void store(const std::string& key, const Value& value) {
    const std::size_t size = value->bytes() + kEntryBytes;
    drop_expired();
    if (const auto old = entries.find(key); old != entries.end()) erase(old);
    if (options.time_to_live.count() <= 0 || size > options.max_bytes) return;
    while (bytes + size > options.max_bytes) erase(entries.find(uses.back()));
    uses.push_front(key);
    const auto end = ends.emplace(options.now() + options.time_to_live, key);
    entries.emplace(key, Entry{value, size, uses.begin(), end});
    bytes += size;
  }

  Value find(const std::string& key) {
    drop_expired();
    const auto at = entries.find(key);
    if (at == entries.end()) return nullptr;
    uses.splice(uses.begin(), uses, at->second.use);
    return at->second.value;
  }

  /// Ends a run; returns who waited for it.
  std::deque<Ready> end_run(const std::string& key) {
    std::deque<Ready> waiting;
    if (const auto run = running.find(key); run != running.end()) {
      waiting = std::move(run->second);
      running.erase(run);
    }
    return waiting;
  }

  AnalysisCacheOptions options;
  mutable std::mutex mutex;
  Entries entries;
  std::list<std::string> uses;                         // most recent first
  std::multimap<Clock::time_point, std::string> ends;  // when entries expire
  std::size_t bytes = 0;
  std::unordered_map<std::string, std::deque<Ready>> running;  // key -> who waits, first first
};

AnalysisCache::Ticket::Ticket(AnalysisCache* cache, std::string key) noexcept
    : cache_(cache), key_(std::move(key)) {}

AnalysisCache::Ticket::Ticket(Ticket&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), key_(std::move(other.key_)) {}

AnalysisCache::Ticket& AnalysisCache::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    pass_on();
    cache_ = std::exchange(other.cache_, nullptr);
    key_ = std::move(other.key_);
  }
  return *this;
}

AnalysisCache::Ticket::~Ticket() { pass_on(); }

void AnalysisCache::Ticket::complete(const Value& value) {
  if (cache_ == nullptr) return;
  if (!value) {
    fail(std::make_exception_ptr(Error(ErrorCode::kInternal, "an analysis gave no result")));
    return;
  }
  State& s = *std::exchange(cache_, nullptr)->state_;
  std::deque<Ready> waiting;
  {
    const std::lock_guard lock(s.mutex);
    s.store(key_, value);
    waiting = s.end_run(key_);
  }
  for (const Ready& ready : waiting) ready(Outcome{value, true, nullptr, std::nullopt});
}

void AnalysisCache::Ticket::fail(const std::exception_ptr& problem) {
  if (cache_ == nullptr) return;
  if (is_callers_own(problem)) return pass_on();
  State& s = *std::exchange(cache_, nullptr)->state_;
  std::deque<Ready> waiting;
  {
    const std::lock_guard lock(s.mutex);
    waiting = s.end_run(key_);
  }
  for (const Ready& ready : waiting) ready(Outcome{nullptr, false, problem, std::nullopt});
}

void AnalysisCache::Ticket::pass_on() noexcept {
  if (cache_ == nullptr) return;
  AnalysisCache* const cache = std::exchange(cache_, nullptr);
  State& s = *cache->state_;
  Ready next;
  {
    const std::lock_guard lock(s.mutex);
    const auto run = s.running.find(key_);
    if (run == s.running.end()) return;
    if (run->second.empty()) {
      s.running.erase(run);
      return;
    }
    next = std::move(run->second.front());
    run->second.pop_front();
  }
  next(Outcome{nullptr, false, nullptr, Ticket(cache, std::move(key_))});
}

AnalysisCache::AnalysisCache(AnalysisCacheOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}

AnalysisCache::~AnalysisCache() = default;

void AnalysisCache::join(const std::string& key, Ready ready) {
  State& s = *state_;
  Outcome outcome;
  {
    const std::lock_guard lock(s.mutex);
    outcome.value = s.find(key);
    if (!outcome.value) {
      const auto [run, first] = s.running.try_emplace(key);
      if (!first) {
        run->second.push_back(std::move(ready));
        return;
      }
      outcome.ticket = Ticket(this, key);
    }
    outcome.cached = outcome.value != nullptr;
  }
  ready(std::move(outcome));
}

std::size_t AnalysisCache::entries() const {
  const std::lock_guard lock(state_->mutex);
  return state_->entries.size();
}

std::size_t AnalysisCache::bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->bytes;
}

void AnalysisCache::clear() {
  const std::lock_guard lock(state_->mutex);
  state_->entries.clear();
  state_->uses.clear();
  state_->ends.clear();
  state_->bytes = 0;
}

}  // namespace itemcrop::service::legacy
