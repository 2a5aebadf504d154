#include "fetch/transfer.h"

#include <algorithm>
#include <charconv>
#include <new>
#include <utility>

#include "itemcrop/error.h"
#include "itemcrop/version.h"

#include "core/ascii.h"

namespace itemcrop::fetch {
namespace {

using Clock = std::chrono::steady_clock;

/// All headers of one exchange, interim responses included.
constexpr std::size_t kMaxHeadBytes = 64 * 1024;

void initialise_curl() {
  // Once a process and never undone: other users of libcurl may share it.
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw Error(ErrorCode::kInternal, "libcurl cannot be initialised");
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

std::string_view ResponseHead::header(std::string_view name) const noexcept {
  for (auto at = headers.rbegin(); at != headers.rend(); ++at) {
    if (same_word(at->first, name)) return at->second;
  }
  return {};
}

Transfer::Transfer() {
  initialise_curl();
  easy_ = curl_easy_init();
  multi_ = curl_multi_init();
  if (easy_ == nullptr || multi_ == nullptr) {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
    throw std::bad_alloc();
  }
  // The open connections, which an idle pool keeps.
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 4L);
}

Transfer::~Transfer() {
  curl_easy_cleanup(easy_);
  curl_multi_cleanup(multi_);
  curl_slist_free_all(header_list_);
}

void Transfer::check(CURLcode code) {
  if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  if (code != CURLE_OK) {
    throw Error(ErrorCode::kInternal,
                std::string("libcurl refuses an option: ") + curl_easy_strerror(code));
  }
}

void Transfer::prepare() {
  curl_easy_reset(easy_);
  curl_slist_free_all(header_list_);
  header_list_ = nullptr;
  set(CURLOPT_NOSIGNAL, 1L);
  // A name server that hangs must not hold a cancelled transfer back.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, "");  // neither http_proxy nor all_proxy
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, "itemcrop/" ITEMCROP_VERSION);
  // Deadlines are the run's; libcurl's own would only blur them.
  set(CURLOPT_CONNECTTIMEOUT_MS, 3'600'000L);
  set(CURLOPT_HEADERFUNCTION, &Transfer::receive_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &Transfer::receive_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
}

void Transfer::add_header(const std::string& name, const std::string& value) {
  // "Name;" is libcurl's way to send a header without a value.
  append_line(value.empty() ? name + ";" : name + ": " + value);
}

void Transfer::drop_header(const std::string& name) { append_line(name + ":"); }

void Transfer::append_line(const std::string& line) {
  curl_slist* longer = curl_slist_append(header_list_, line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  header_list_ = longer;
}

std::string Transfer::reason() const { return curl_easy_strerror(code_); }

std::string Transfer::redirect_url() const {
  const char* url = nullptr;
  curl_easy_getinfo(easy_, CURLINFO_REDIRECT_URL, &url);
  return url == nullptr ? "" : url;
}

std::size_t Transfer::receive_header(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  try {
    return transfer.take_header({data, size * count}) ? size * count : 0;
  } catch (...) {
    transfer.sink_problem_ = std::current_exception();
    return 0;
  }
}

std::size_t Transfer::receive_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  try {
    const std::span bytes(reinterpret_cast<const std::byte*>(data), size * count);
    return transfer.take_body(bytes) ? size * count : 0;
  } catch (...) {
    transfer.sink_problem_ = std::current_exception();
    return 0;
  }
}

bool Transfer::take_header(std::string_view line) {
  last_progress_ = Clock::now();
  head_bytes_ += line.size();
  if (head_bytes_ > kMaxHeadBytes) {
    verdict_ = TransferEnd::kHeadTooLarge;
    return false;
  }
  const std::size_t colon = line.find(':');
  if (line.starts_with("HTTP/")) {
    head_.headers.clear();
    const std::size_t space = line.find(' ');
    head_.status = 0;
    if (space != std::string_view::npos) {
      std::from_chars(line.data() + space + 1, line.data() + line.size(), head_.status);
    }
  } else if (colon != std::string_view::npos) {
    head_.headers.emplace_back(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
  }
  return true;
}

bool Transfer::take_body(std::span<const std::byte> bytes) {
  last_progress_ = Clock::now();
  if (bytes.size() > run_->max_body_bytes - body_bytes_) {
    verdict_ = TransferEnd::kTooLarge;
    return false;
  }
  body_bytes_ += bytes.size();
  run_->sink(head_, bytes);
  return true;
}

TransferEnd Transfer::run(const Run& run, const std::stop_token& stop) {
  run_ = &run;
  head_ = {};
  head_bytes_ = 0;
  body_bytes_ = 0;
  verdict_.reset();
  sink_problem_ = nullptr;
  code_ = CURLE_OK;
  last_progress_ = Clock::now();
  set(CURLOPT_HTTPHEADER, header_list_);
  if (curl_multi_add_handle(multi_, easy_) != CURLM_OK) {
    throw Error(ErrorCode::kInternal, "libcurl cannot start a transfer");
  }
  TransferEnd end = TransferEnd::kFailed;
  {
    const std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi_); });
    end = wait(run, stop);
  }
  curl_multi_remove_handle(multi_, easy_);
  run_ = nullptr;
  if (sink_problem_) std::rethrow_exception(std::exchange(sink_problem_, nullptr));
  return verdict_.value_or(end);
}

TransferEnd Transfer::wait(const Run& run, const std::stop_token& stop) {
  for (;;) {
    if (stop.stop_requested()) return TransferEnd::kCancelled;
    const Clock::time_point now = Clock::now();
    std::chrono::milliseconds patience(1000);
    if (run.deadline) {
      if (now >= *run.deadline) return TransferEnd::kDeadline;
      patience =
          std::min(patience, std::chrono::ceil<std::chrono::milliseconds>(*run.deadline - now));
    }
    if (run.stall && now - last_progress_ >= *run.stall) return TransferEnd::kStalled;

    int running = 0;
    if (curl_multi_perform(multi_, &running) != CURLM_OK) {
      code_ = CURLE_FAILED_INIT;
      return TransferEnd::kFailed;
    }
    int waiting = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &waiting)) {
      if (message->msg != CURLMSG_DONE) continue;
      code_ = message->data.result;
      if (code_ == CURLE_FILESIZE_EXCEEDED) return TransferEnd::kTooLarge;
      return code_ == CURLE_OK ? TransferEnd::kComplete : TransferEnd::kFailed;
    }
    if (verdict_ || sink_problem_) return TransferEnd::kFailed;
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(patience.count()), nullptr);
  }
}

}  // namespace itemcrop::fetch
