#include "fetch/fetch.h"

#include <algorithm>
#include <span>
#include <utility>

#include <sys/socket.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "fetch/address_policy.h"
#include "fetch/public_url.h"
#include "fetch/transfer.h"
#include "fetch/transfer_pool.h"

namespace itemcrop::fetch {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxIdle = 16;

/// Decides over each socket of a transfer.
struct SocketGate {
  const AddressPolicy& policy;
  bool refused = false;

  static curl_socket_t open(void* self, curlsocktype purpose, curl_sockaddr* address) {
    auto& gate = *static_cast<SocketGate*>(self);
    const auto ip = IpAddress::from(address->addr);
    if (purpose != CURLSOCKTYPE_IPCXN || !ip || !gate.policy.allows(*ip)) {
      gate.refused = true;
      return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }
};

/// Statuses that a later request may not get: the server, not the address, is at fault.
bool may_change(int status) {
  return status >= 500 || status == 408 || status == 425 || status == 429;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void check_options(const FetchOptions& options) {
  const auto refuse = [](const std::string& message) {
    throw Error(ErrorCode::kInvalidArgument, message);
  };
  if (options.max_bytes < 1) refuse("max_bytes must be at least 1");
  if (options.deadline.count() < 1) refuse("deadline must be at least 1 ms");
  if (options.max_redirects < 0 || options.max_redirects > 20) {
    refuse("max_redirects must be from 0 to 20, got " + std::to_string(options.max_redirects));
  }
  for (const int port : options.allowed_ports) {
    if (port < 1 || port > 65535) {
      refuse("allowed_ports: must be from 1 to 65535, got " + std::to_string(port));
    }
  }
}

}  // namespace

struct Fetcher::State {
  explicit State(FetchOptions limits)
      : options(std::move(limits)), policy(options.allow_private, options.allowed_networks) {}

  void check(const PublicUrl& url) const {
    if (!options.allowed_hosts.empty() && !host_is_listed(url.host, options.allowed_hosts)) {
      throw Error(ErrorCode::kForbidden,
                  "url: host '" + url.host + "' is not in " + options.names.allowed_hosts);
    }
    const bool port_allowed =
        options.allowed_ports.empty()
            ? is_web_port(url.port)
            : std::find(options.allowed_ports.begin(), options.allowed_ports.end(), url.port) !=
                  options.allowed_ports.end();
    if (!port_allowed) {
      throw Error(ErrorCode::kForbidden,
                  "url: port " + std::to_string(url.port) + " may not be fetched from");
    }
    if (url.literal && !policy.allows(*url.literal)) refuse_address(url.host);
  }

  [[noreturn]] void refuse_address(const std::string& host) const {
    throw Error(ErrorCode::kForbidden,
                "url: host '" + host + "' has no public address, so it may not be fetched from (" +
                    options.names.allow_private + " allows it)");
  }

  /// One request. Returns where it redirects to; empty: `body` is the answer.
  std::string get(Transfer& transfer, const PublicUrl& url, Clock::time_point deadline,
                  const std::stop_token& stop, std::vector<std::byte>& body) const;

  const FetchOptions options;
  const AddressPolicy policy;
  TransferPool pool{kMaxIdle};
};

std::string Fetcher::State::get(Transfer& transfer, const PublicUrl& url,
                                Clock::time_point deadline, const std::stop_token& stop,
                                std::vector<std::byte>& body) const {
  SocketGate gate{policy};
  transfer.prepare();
  transfer.set(CURLOPT_URL, url.text.c_str());
  transfer.set(CURLOPT_OPENSOCKETFUNCTION, &SocketGate::open);
  transfer.set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&gate));
  transfer.set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(options.max_bytes));
  // A compressed body could unfold beyond any limit, and images gain nothing from it.
  transfer.add_header("Accept-Encoding", "identity");
  transfer.add_header("Accept", "image/*, */*;q=0.5");
  Transfer::Run run;
  run.deadline = deadline;
  run.max_body_bytes = options.max_bytes;
  run.sink = [&](const ResponseHead& head, std::span<const std::byte> bytes) {
    if (head.status == 200) body.insert(body.end(), bytes.begin(), bytes.end());
  };
  const std::string host = "host '" + url.host + "'";
  const TransferEnd end = transfer.run(run, stop);
  switch (end) {
    case TransferEnd::kComplete:
      break;
    case TransferEnd::kCancelled:
      throw Error(ErrorCode::kCancelled, "url: the download was cancelled");
    case TransferEnd::kDeadline:
    case TransferEnd::kStalled:
      throw Error(ErrorCode::kDeadlineExceeded,
                  "url: the download from " + host + " was not finished within " +
                      options.names.deadline + " = " + std::to_string(options.deadline.count()) +
                      " ms");
    case TransferEnd::kTooLarge:
      throw Error(ErrorCode::kLimitExceeded, "url: " + host + " sends more than " +
                                                 options.names.max_bytes + " = " +
                                                 std::to_string(options.max_bytes) + " bytes");
    case TransferEnd::kHeadTooLarge:
      throw Error(ErrorCode::kUnavailable, "url: " + host + " sends too many headers");
    case TransferEnd::kFailed:
      if (gate.refused) refuse_address(url.host);
      // A resolver that does not answer ends with the deadline instead.
      if (transfer.name_is_unknown()) {
        throw Error(ErrorCode::kBadImageUrl, "url: " + host + " is not known");
      }
      throw Error(ErrorCode::kUnavailable,
                  "url: cannot download from " + host + ": " + transfer.reason());
  }
  const ResponseHead& head = transfer.head();
  if (is_redirect(head.status)) {
    std::string target = transfer.redirect_url();
    if (!target.empty()) return target;
  }
  if (head.status != 200) {
    throw Error(may_change(head.status) ? ErrorCode::kUnavailable : ErrorCode::kBadImageUrl,
                "url: " + host + " answered with status " + std::to_string(head.status));
  }
  const std::string_view encoding = head.header("Content-Encoding");
  if (!encoding.empty() && !same_word(encoding, "identity")) {
    throw Error(ErrorCode::kBadImageUrl,
                "url: " + host + " sends a compressed body although none was asked for");
  }
  return {};
}

Fetcher::Fetcher(FetchOptions options) {
  check_options(options);
  state_ = std::make_unique<State>(std::move(options));
}

Fetcher::~Fetcher() = default;

const FetchOptions& Fetcher::options() const noexcept { return state_->options; }

std::vector<std::byte> Fetcher::fetch(const std::string& url, std::stop_token stop) const {
  const Clock::time_point deadline = Clock::now() + state_->options.deadline;
  PublicUrl next = parse_public_url(url);
  const TransferPool::Lease transfer = state_->pool.take();
  for (int redirects = 0;; ++redirects) {
    state_->check(next);
    std::vector<std::byte> body;
    const std::string target = state_->get(*transfer, next, deadline, stop, body);
    if (target.empty()) return body;
    if (redirects == state_->options.max_redirects) {
      throw Error(ErrorCode::kBadImageUrl, "url: host '" + next.host + "' redirects more than " +
                                               state_->options.names.max_redirects + " = " +
                                               std::to_string(state_->options.max_redirects) +
                                               " times");
    }
    next = parse_public_url(target);
  }
}

std::vector<std::byte> fetch(const std::string& url, const FetchOptions& options,
                             std::stop_token stop) {
  return Fetcher(options).fetch(url, std::move(stop));
}

}  // namespace itemcrop::fetch
