#include "fetch/http_client.h"

#include <algorithm>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "fetch/transfer.h"
#include "fetch/transfer_pool.h"

namespace itemcrop::fetch {
namespace {

using Clock = std::chrono::steady_clock;

std::string url_part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == nullptr) return {};
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, &curl_free);
  return text;
}

struct Endpoint {
  std::string scheme, host, port;
};

std::optional<Endpoint> parse_endpoint(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle(curl_url(), &curl_url_cleanup);
  if (handle == nullptr) throw std::bad_alloc();
  if (curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return std::nullopt;
  Endpoint endpoint{url_part(handle.get(), CURLUPART_SCHEME),
                    url_part(handle.get(), CURLUPART_HOST),
                    url_part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  endpoint.host = lower(endpoint.host);
  if (endpoint.scheme != "http" && endpoint.scheme != "https") return std::nullopt;
  return endpoint;
}

bool is_token(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.!#$%&'*+^`|~").find(c) != std::string_view::npos;
  });
}

/// A line break in a value would be another header.
void check_header(const Header& header) {
  const bool clean = std::none_of(header.second.begin(), header.second.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
  if (!is_token(header.first) || !clean) {
    throw Error(ErrorCode::kInvalidArgument, "header '" + header.first.substr(0, 60) +
                                                 "' holds characters that may not be sent");
  }
}

std::span<const std::byte> body_of(const HttpRequest& request) {
  return request.body_view.empty() ? std::as_bytes(std::span(request.body)) : request.body_view;
}

void set_method(Transfer& transfer, const HttpRequest& request) {
  if (!is_token(request.method)) {
    throw Error(ErrorCode::kInvalidArgument, "method holds characters that may not be sent");
  }
  const std::span<const std::byte> body = body_of(request);
  if (request.method == "HEAD") {
    transfer.set(CURLOPT_NOBODY, 1L);
  } else if (!body.empty() || request.method == "POST" || request.method == "PUT") {
    transfer.set(CURLOPT_POST, 1L);
    transfer.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    transfer.set(CURLOPT_POSTFIELDS,
                 body.empty() ? "" : reinterpret_cast<const char*>(body.data()));
  }
  if (request.method != "HEAD") transfer.set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

void set_headers(Transfer& transfer, const HttpRequest& request) {
  bool has_type = false;
  for (const Header& header : request.headers) {
    check_header(header);
    transfer.add_header(header.first, header.second);
    has_type = has_type || same_word(header.first, "Content-Type");
  }
  // libcurl 7.88 signs headers that were dropped; a signed body names its type itself.
  if (request.aws) {
    transfer.set(CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
    return;
  }
  transfer.drop_header("Expect");  // would wait a second for servers that do not know it
  if (!has_type) transfer.drop_header("Content-Type");
}

void sign(Transfer& transfer, const AwsCredentials& aws) {
  const std::string scope = "aws:amz:" + aws.region + ":" + aws.service;
  transfer.set(CURLOPT_AWS_SIGV4, scope.c_str());
  transfer.set(CURLOPT_USERNAME, aws.access_key.c_str());
  transfer.set(CURLOPT_PASSWORD, aws.secret_key.c_str());
  if (!aws.session_token.empty()) {
    check_header({"x-amz-security-token", aws.session_token});
    transfer.add_header("x-amz-security-token", aws.session_token);
  }
}

}  // namespace

std::string_view HttpResponse::header(std::string_view name) const noexcept {
  for (auto at = headers.rbegin(); at != headers.rend(); ++at) {
    if (same_word(at->first, name)) return at->second;
  }
  return {};
}

std::string origin_of(const std::string& url) {
  const auto endpoint = parse_endpoint(url);
  if (!endpoint) return {};
  return endpoint->scheme + "://" + endpoint->host + ":" + endpoint->port;
}

struct HttpClient::State {
  explicit State(HttpClientOptions wanted) : options(std::move(wanted)), pool(options.max_idle) {
    for (const std::string& entry : options.connect_to) {
      curl_slist* longer = curl_slist_append(connect_to.get(), entry.c_str());
      if (longer == nullptr) throw std::bad_alloc();
      static_cast<void>(connect_to.release());  // libcurl has taken it into the longer list
      connect_to.reset(longer);
    }
  }

  struct SlistDeleter {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
  };

  const HttpClientOptions options;
  std::unique_ptr<curl_slist, SlistDeleter> connect_to;
  TransferPool pool;
};

HttpClient::HttpClient(HttpClientOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::send(const HttpRequest& request, std::stop_token stop) const {
  const auto endpoint = parse_endpoint(request.url);
  if (!endpoint) {
    throw Error(ErrorCode::kInvalidArgument, "the endpoint's URL is not an http or https URL");
  }
  const std::string host = "host '" + endpoint->host + "'";
  const TransferPool::Lease transfer = state_->pool.take();
  transfer->set(CURLOPT_URL, request.url.c_str());
  // NULL lets libcurl look at the environment.
  if (state_->options.environment_proxy) {
    transfer->set(CURLOPT_PROXY, static_cast<const char*>(nullptr));
  }
  if (state_->connect_to) transfer->set(CURLOPT_CONNECT_TO, state_->connect_to.get());
  set_method(*transfer, request);
  set_headers(*transfer, request);
  if (request.aws) sign(*transfer, *request.aws);

  HttpResponse response;
  bool streaming = false;
  Transfer::Run run;
  if (request.deadline.count() > 0) run.deadline = Clock::now() + request.deadline;
  if (request.stall.count() > 0) run.stall = request.stall;
  run.max_body_bytes = request.max_response_bytes;
  run.sink = [&](const ResponseHead& head, std::span<const std::byte> bytes) {
    if (response.status == 0) {
      response.status = head.status;
      response.headers = head.headers;
      streaming = request.on_body && response.ok();
    }
    if (streaming) {
      request.on_body(response, bytes);
    } else {
      response.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  };
  switch (transfer->run(run, stop)) {
    case TransferEnd::kComplete:
      break;
    case TransferEnd::kCancelled:
      throw Error(ErrorCode::kCancelled, "the request to " + host + " was cancelled");
    case TransferEnd::kDeadline:
      throw Error(
          ErrorCode::kDeadlineExceeded,
          host + " did not answer within " + std::to_string(request.deadline.count()) + " ms");
    case TransferEnd::kStalled:
      throw Error(ErrorCode::kDeadlineExceeded,
                  host + " sent nothing for " + std::to_string(request.stall.count()) + " ms");
    case TransferEnd::kTooLarge:
      throw Error(ErrorCode::kLimitExceeded, host + " answers with more than " +
                                                 std::to_string(request.max_response_bytes) +
                                                 " bytes");
    case TransferEnd::kHeadTooLarge:
      throw Error(ErrorCode::kUnavailable, host + " sends too many headers");
    case TransferEnd::kFailed:
      throw Error(ErrorCode::kUnavailable, "cannot reach " + host + ": " + transfer->reason());
  }
  response.status = transfer->head().status;
  response.headers = transfer->head().headers;
  response.redirect_url = transfer->redirect_url();
  return response;
}

}  // namespace itemcrop::fetch
