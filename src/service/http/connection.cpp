#include "service/http/connection.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>
#include <sys/socket.h>

#include "core/ascii.h"
#include "service/http/application.h"
#include "service/http/head.h"
#include "service/http/transport.h"

namespace itemcrop::service::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using boost::system::error_code;
using Socket = Transport::Socket;

/// An unwanted body up to this size is read and thrown away, so that the connection can go on.
constexpr std::size_t kMaxDiscard = 256 * 1024;
constexpr std::size_t kReadSize = 64 * 1024;

/// While one lives, the socket's operations are aborted once the time is over.
class Deadline {
 public:
  Deadline(Socket& socket, std::chrono::milliseconds time)
      : timer_(socket.get_executor()), shared_(std::make_shared<Shared>()) {
    timer_.expires_after(time);
    timer_.async_wait([shared = shared_, &socket](error_code error) {
      if (error || shared->over) return;
      shared->expired = true;
      error_code ignored;
      socket.cancel(ignored);
    });
  }
  ~Deadline() { shared_->over = true; }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  bool expired() const noexcept { return shared_->expired; }

 private:
  struct Shared {
    bool over = false;
    bool expired = false;
  };
  asio::steady_timer timer_;
  std::shared_ptr<Shared> shared_;
};

/// While one lives, a drain ends the connection's wait for a next request.
class IdleMark {
 public:
  IdleMark(ConnectionState& state, Socket& socket) : state_(state) {
    state.set_idle([executor = socket.get_executor(), waiting = waiting_, &socket] {
      asio::post(executor, [waiting, &socket] {
        if (!*waiting) return;
        error_code ignored;
        socket.cancel(ignored);
      });
    });
  }
  ~IdleMark() {
    *waiting_ = false;
    state_.set_idle(nullptr);
  }
  IdleMark(const IdleMark&) = delete;
  IdleMark& operator=(const IdleMark&) = delete;

 private:
  ConnectionState& state_;
  std::shared_ptr<bool> waiting_ = std::make_shared<bool>(true);  // touched on the strand only
};

/// Notices a client that leaves while its request is worked on: it stops `source` when the peer
/// closes. Bytes of a next request end the watch, since nothing can be told any more then.
class DepartureWatch {
 public:
  DepartureWatch(Socket& socket, std::stop_source source) {
    socket.async_wait(
        Socket::wait_read,
        asio::bind_cancellation_slot(
            signal_.slot(), [&socket, source = std::move(source)](error_code error) mutable {
              if (error) return;
              char byte = 0;
              const auto got =
                  ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL);
              if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) source.request_stop();
            }));
  }
  void end() { signal_.emit(asio::cancellation_type::all); }

 private:
  asio::cancellation_signal signal_;
};

/// Header values come from this program, but may quote a client: no line may be smuggled in.
void append_header(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ");
  for (const char c : value) head.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  head.append("\r\n");
}

/// One connection's life, request after request.
class Connection {
 public:
  Connection(std::unique_ptr<Transport> transport, const ServerOptions& options,
             Application& application, std::shared_ptr<ConnectionState> state)
      : transport_(std::move(transport)),
        socket_(transport_->socket()),
        options_(options),
        application_(application),
        state_(std::move(state)) {
    error_code error;
    const auto peer = socket_.remote_endpoint(error);
    if (!error) remote_ = peer.address().to_string();
    socket_.set_option(asio::ip::tcp::no_delay(true), error);
  }

  asio::awaitable<void> run() {
    bool open = false;
    {
      const Deadline deadline(socket_, options_.head_deadline);
      open = co_await transport_->open();
    }
    if (open) {
      while (co_await next_request()) {
      }
    }
    co_await close();
  }

 private:
  /// Reads, answers; true if another request may follow.
  asio::awaitable<bool> next_request() {
    const bool first = std::exchange(first_, false);
    if (buffer_.size() == 0) {
      const IdleMark mark(*state_, socket_);
      if (state_->draining()) co_return false;
      const Deadline deadline(socket_, first ? options_.head_deadline : options_.idle_deadline);
      if (!co_await read_more()) co_return false;
    }

    Parser parser;
    expect_head(parser, options_.max_head_bytes);
    body_bytes_ = 0;
    Request request;
    request.arrived = Clock::now();
    request.remote_address = remote_;
    request.id = request_id({});
    if (!co_await arrived(parser, request, options_.head_deadline)) co_return false;
    keep_alive_ = parser.keep_alive();
    head_only_ = parser.get().method() == bhttp::verb::head;
    if (const auto problem = read_head(parser, request)) {
      co_await answer(request, refusal(*problem, request), false);
      co_return false;
    }

    std::stop_source departure;
    const std::stop_callback stop_too(state_->stop.get_token(),
                                      [&departure] { departure.request_stop(); });
    request.gone = departure.get_token();
    Admission admission = application_.admit(request);
    request.deadline = request.arrived + admission.deadline;
    if (!admission.refusal && request.content_length.value_or(0) > admission.max_body_bytes) {
      admission.refusal = refusal(
          {413, "the body has " + std::to_string(*request.content_length) +
                    " bytes, this route takes at most " + std::to_string(admission.max_body_bytes)},
          request);
    }
    const bool waits = same_word(request.header("Expect"), "100-continue");
    if (admission.refusal) {
      // Without reading it: a short body is thrown away, a long one costs the connection.
      const bool short_body =
          !request.chunked && request.content_length.value_or(0) <= kMaxDiscard && !waits;
      if (!short_body) keep_alive_ = false;
      // Not `a && co_await b`: g++ 12 awaits b in any case.
      if (!co_await answer(request, std::move(*admission.refusal), true)) co_return false;
      co_return co_await discard_body(parser);
    }

    expect_body(parser, admission.max_body_bytes);
    if (waits && !parser.is_done()) {
      const Deadline deadline(socket_, options_.write_deadline);
      if (!co_await transport_->write("HTTP/1.1 100 Continue\r\n\r\n", {})) co_return false;
    }
    if (!co_await arrived(parser, request, options_.body_deadline)) co_return false;
    request.body = std::move(parser.get().body());
    body_bytes_ = request.body.size();

    // Several requests may already wait in the buffer; a watch would then only see them.
    std::optional<DepartureWatch> watch;
    if (buffer_.size() == 0) watch.emplace(socket_, departure);
    Response response = co_await application_.handle(request);
    if (watch) watch->end();
    co_return co_await answer(request, std::move(response), true);
  }

  asio::awaitable<bool> read_more() {
    const auto space = buffer_.prepare(kReadSize);
    const std::size_t count =
        co_await transport_->read({static_cast<char*>(space.data()), space.size()});
    buffer_.commit(count);
    co_return count > 0;
  }

  /// Reads until the head or, with an eager parser, the whole message is there; answers what is
  /// malformed, too large or too slow.
  asio::awaitable<bool> arrived(Parser& parser, const Request& request,
                                std::chrono::milliseconds patience) {
    const Deadline deadline(socket_, patience);
    error_code error;
    bool more = true;
    while (more && !is_complete(parser)) {
      if (buffer_.size() > 0) {
        feed(parser, buffer_, error);
        if (error || is_complete(parser)) break;
      }
      more = co_await read_more();
    }
    if (!error && more) co_return true;
    if (error || deadline.expired()) {
      const HeadProblem problem = deadline.expired()
                                      ? HeadProblem{408, "the request took too long to arrive"}
                                      : problem_of(error, options_.max_head_bytes);
      co_await answer(request, refusal(problem, request), false);
    }
    co_return false;
  }

  asio::awaitable<bool> discard_body(Parser& parser) {
    const Deadline deadline(socket_, options_.body_deadline);
    parser.eager(true);
    error_code error;
    while (true) {
      if (buffer_.size() > 0) feed(parser, buffer_, error);
      if (error) co_return false;
      if (parser.is_done()) co_return true;
      if (!co_await read_more()) co_return false;
    }
  }

  Response refusal(const HeadProblem& problem, const Request& request) {
    return application_.refuse(problem.status, problem.reason, request.id);
  }

  /// Writes a response; true if the connection can go on.
  asio::awaitable<bool> answer(const Request& request, Response response, bool may_keep) {
    const auto* events = std::get_if<std::shared_ptr<EventSource>>(&response.body);
    const bool keep = may_keep && keep_alive_ && !state_->draining() && events == nullptr;
    std::size_t bytes = 0;
    const bool written = events != nullptr
                             ? co_await write_events(request, response, **events, bytes)
                             : co_await write_whole(request, response, keep, bytes);
    const double seconds = std::chrono::duration<double>(Clock::now() - request.arrived).count();
    application_.finished({request, response.status, body_bytes_, bytes, seconds});
    const bool go_on = written && keep;
    co_return go_on;
  }

  static std::string head_of(const Request& request, const Response& response, bool keep) {
    std::string head = "HTTP/1.1 " + std::to_string(response.status) + ' ';
    const auto reason =
        bhttp::obsolete_reason(bhttp::int_to_status(static_cast<unsigned>(response.status)));
    head.append(reason.data(), reason.size()).append("\r\n");
    if (!response.content_type.empty()) append_header(head, "Content-Type", response.content_type);
    for (const Header& header : response.headers) append_header(head, header.name, header.value);
    append_header(head, "X-Request-ID", request.id);
    append_header(head, "Connection", keep ? "keep-alive" : "close");
    return head;
  }

  asio::awaitable<bool> write_whole(const Request& request, const Response& response, bool keep,
                                    std::size_t& bytes) {
    std::string_view body;
    if (const auto* text = std::get_if<std::string>(&response.body)) {
      body = *text;
    } else if (const auto& shared = std::get<Response::SharedBytes>(response.body)) {
      body = {reinterpret_cast<const char*>(shared->data()), shared->size()};
    }
    std::string head = head_of(request, response, keep);
    const bool bodiless = response.status == 204 || response.status == 304;
    if (!bodiless) {
      const std::size_t length = response.content_length.value_or(body.size());
      append_header(head, "Content-Length", std::to_string(length));
    }
    head += "\r\n";
    if (bodiless || head_only_) body = {};
    bytes = head.size() + body.size();
    const Deadline deadline(socket_, options_.write_deadline);
    co_return co_await transport_->write(head, body);
  }

  asio::awaitable<bool> write_events(const Request& request, const Response& response,
                                     EventSource& events, std::size_t& bytes) {
    std::string head = head_of(request, response, false);
    append_header(head, "Cache-Control", "no-store");
    head += "\r\n";
    std::optional<std::string> text = std::string();
    while (text && !request.gone.stop_requested()) {
      {
        bytes += head.size() + text->size();
        const Deadline deadline(socket_, options_.write_deadline);
        if (!co_await transport_->write(head, *text)) co_return false;
      }
      if (head_only_) break;
      head.clear();
      text = co_await events.next();
    }
    co_return true;
  }

  /// Says goodbye and reads what is still on its way, so that a reset does not eat the answer.
  asio::awaitable<void> close() {
    const Deadline deadline(socket_, std::chrono::seconds(2));
    co_await transport_->close();
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    buffer_.clear();
    for (std::size_t left = 4 * kMaxDiscard; left > 0;) {
      const auto space = buffer_.prepare(kReadSize);
      const std::size_t count =
          co_await transport_->read({static_cast<char*>(space.data()), space.size()});
      if (count == 0) break;
      left -= std::min(left, count);
    }
    socket_.close(ignored);
  }

  std::unique_ptr<Transport> transport_;
  Socket& socket_;
  const ServerOptions& options_;
  Application& application_;
  std::shared_ptr<ConnectionState> state_;
  std::string remote_;
  beast::flat_buffer buffer_;
  bool first_ = true;
  bool keep_alive_ = false;
  bool head_only_ = false;
  std::size_t body_bytes_ = 0;  ///< of the request in hand
};

}  // namespace

void ConnectionState::drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
  if (end_idle_) end_idle_();
}

void ConnectionState::set_idle(std::function<void()> end_idle) {
  const std::lock_guard lock(mutex_);
  end_idle_ = std::move(end_idle);
}

asio::awaitable<void> serve(std::unique_ptr<Transport> transport, const ServerOptions& options,
                            Application& application, std::shared_ptr<ConnectionState> state) {
  Connection connection(std::move(transport), options, application, std::move(state));
  co_await connection.run();
}

}  // namespace itemcrop::service::http
