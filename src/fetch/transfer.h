#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <curl/curl.h>

#include "fetch/http_client.h"

namespace itemcrop::fetch {

/// What a transfer has received so far; reset by each final or interim response.
struct ResponseHead {
  int status = 0;
  std::vector<Header> headers;

  /// The last value of a header; empty if it is absent.
  std::string_view header(std::string_view name) const noexcept;
};

/// How a transfer ended, apart from exceptions of its sink, which are thrown on.
enum class TransferEnd {
  kComplete,   ///< a whole response came
  kFailed,     ///< libcurl gave up: see Transfer::code()
  kDeadline,   ///< the deadline passed
  kStalled,    ///< nothing came for the stall time
  kCancelled,  ///< stop was requested
  kTooLarge,   ///< the body is, or says it will be, larger than the limit
  kHeadTooLarge,
};

/// A libcurl handle with connections of its own, for one thread at a time. Every run starts from
/// the same safe options: no signals, no proxy, no redirects, http and https only, no decoding.
class Transfer {
 public:
  Transfer();
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  /// Forgets the options of the last run, keeps open connections.
  void prepare();

  template <typename Value>
  void set(CURLoption option, Value value) {
    check(curl_easy_setopt(easy_, option, value));
  }

  /// "Name: value"; kept until the next prepare().
  void add_header(const std::string& name, const std::string& value);
  /// Keeps libcurl from adding a header of its own.
  void drop_header(const std::string& name);

  using Sink = std::function<void(const ResponseHead&, std::span<const std::byte>)>;
  struct Run {
    std::optional<std::chrono::steady_clock::time_point> deadline;
    std::optional<std::chrono::milliseconds> stall;
    std::uint64_t max_body_bytes = 0;
    Sink sink;
  };
  /// Blocks. Wakes at once when stop is requested.
  TransferEnd run(const Run& run, const std::stop_token& stop);

  const ResponseHead& head() const noexcept { return head_; }
  CURLcode code() const noexcept { return code_; }
  /// After kFailed: no address is known for the host's name.
  bool name_is_unknown() const noexcept { return code_ == CURLE_COULDNT_RESOLVE_HOST; }
  /// What libcurl's code means, without addresses or paths.
  std::string reason() const;
  /// Where a redirecting response points, absolute; empty if it does not.
  std::string redirect_url() const;

 private:
  void append_line(const std::string& line);
  static void check(CURLcode code);
  static std::size_t receive_header(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t receive_body(char* data, std::size_t size, std::size_t count, void* self);
  bool take_header(std::string_view line);
  bool take_body(std::span<const std::byte> bytes);
  TransferEnd wait(const Run& run, const std::stop_token& stop);

  CURL* easy_ = nullptr;
  CURLM* multi_ = nullptr;
  curl_slist* header_list_ = nullptr;

  // Of the run in hand.
  const Run* run_ = nullptr;
  ResponseHead head_;
  std::size_t head_bytes_ = 0;
  std::uint64_t body_bytes_ = 0;
  std::chrono::steady_clock::time_point last_progress_;
  std::optional<TransferEnd> verdict_;
  std::exception_ptr sink_problem_;
  CURLcode code_ = CURLE_OK;
};

}  // namespace itemcrop::fetch
