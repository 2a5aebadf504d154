#include "service/http/connection.h"

#include <algorithm>
#include <cerrno>
#include <memory>
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
#include <netinet/in.h>
#include <netinet/tcp.h>
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
constexpr std::size_t kReadSize = 16 * 1024;
/// Over which a body must keep its least rate: long enough for a network that stalls for a moment.
constexpr auto kRateWindow = std::chrono::seconds(5);
/// Half of the time in which work for a client that left has to end.
constexpr auto kDepartureInterval = std::chrono::milliseconds(100);

/// While one lives, the socket's operations are aborted once the time is over, and before that once
/// fewer bytes than `min_bytes_per_second` came within a window.
class Deadline {
 public:
  Deadline(Socket& socket, std::chrono::milliseconds time, std::int64_t min_bytes_per_second = 0)
      : state_(std::make_shared<State>(socket, Clock::now() + time)) {
    state_->least = min_bytes_per_second * std::chrono::seconds(kRateWindow).count();
    State::wait(state_);
  }
  ~Deadline() {
    state_->over = true;
    state_->timer.cancel();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void moved(std::size_t bytes) noexcept { state_->moved += static_cast<std::int64_t>(bytes); }
  bool expired() const noexcept { return state_->expired; }

 private:
  struct State {
    State(Socket& of, Clock::time_point until) : socket(of), timer(of.get_executor()), end(until) {}

    static void wait(const std::shared_ptr<State>& self) {
      const bool rated = self->least > 0;
      self->timer.expires_at(rated ? std::min(self->end, Clock::now() + kRateWindow) : self->end);
      self->timer.async_wait([self](error_code cancelled) {
        if (cancelled || self->over) return;
        if (Clock::now() < self->end && self->moved >= self->least) {
          self->moved = 0;
          wait(self);
          return;
        }
        self->expired = true;
        error_code ignored;
        self->socket.cancel(ignored);
      });
    }

    Socket& socket;
    asio::steady_timer timer;
    const Clock::time_point end;
    std::int64_t least = 0;  // bytes a window
    std::int64_t moved = 0;  // in this window
    bool over = false;
    bool expired = false;
  };
  std::shared_ptr<State> state_;
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

/// Notices a client that leaves while its request is worked on: it stops `source` once the peer has
/// closed its side, be it after bytes of a next request or of TLS, which hide the end from a read.
class DepartureWatch {
 public:
  DepartureWatch(Socket& socket, std::stop_source source)
      : state_(std::make_shared<State>(socket, std::move(source))) {
    State::wait(state_);
  }
  ~DepartureWatch() {
    state_->over = true;
    state_->signal.emit(asio::cancellation_type::all);
    state_->timer.cancel();
  }
  DepartureWatch(const DepartureWatch&) = delete;
  DepartureWatch& operator=(const DepartureWatch&) = delete;

 private:
  struct State {
    State(Socket& watched, std::stop_source stop)
        : socket(watched), source(std::move(stop)), timer(watched.get_executor()) {}

    static void wait(const std::shared_ptr<State>& self) {
      self->socket.async_wait(
          Socket::wait_read,
          asio::bind_cancellation_slot(self->signal.slot(), [self](error_code error) {
            if (error || self->over) return;
            char byte = 0;
            const auto got = ::recv(self->socket.native_handle(), &byte, 1,
                                    MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL);
            if (got > 0) {
              look_again(self);
            } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
              wait(self);  // woken by bytes that had been read already
            } else {
              self->source.request_stop();
            }
          }));
    }

    /// While bytes wait, a read would not end: the connection's state is asked now and then.
    static void look_again(const std::shared_ptr<State>& self) {
      if (self->is_closed()) {
        self->source.request_stop();
        return;
      }
      self->timer.expires_after(kDepartureInterval);
      self->timer.async_wait([self](error_code cancelled) {
        if (!cancelled && !self->over) look_again(self);
      });
    }

    bool is_closed() const {
      tcp_info info{};
      socklen_t size = sizeof info;
      return ::getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
             info.tcpi_state != TCP_ESTABLISHED;
    }

    Socket& socket;
    std::stop_source source;
    asio::steady_timer timer;
    asio::cancellation_signal signal;
    bool over = false;
  };
  std::shared_ptr<State> state_;
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
    const auto local = socket_.local_endpoint(error);
    if (!error) local_ = local.address().to_string();
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
      if (co_await read_more() == 0) co_return false;
    }

    Parser parser;
    expect_head(parser, options_.max_head_bytes);
    body_bytes_ = 0;
    Request request;
    request.arrived = Clock::now();
    request.remote_address = remote_;
    request.local_address = local_;
    request.id = request_id({});
    if (!co_await arrived(parser, request, options_.head_deadline, nullptr)) co_return false;
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
    if (!co_await arrived(parser, request, options_.body_deadline, &admission.body)) {
      co_return false;
    }
    request.body = std::move(parser.get().body());
    body_bytes_ = request.body.size();
    request.body_lease = &admission.body;

    Response response = co_await handled(request, departure);
    co_return co_await answer(request, std::move(response), true);
  }

  asio::awaitable<Response> handled(Request& request, const std::stop_source& departure) {
    const DepartureWatch watch(socket_, departure);
    co_return co_await application_.handle(request);
  }

  asio::awaitable<std::size_t> read_more() {
    const auto space = buffer_.prepare(kReadSize);
    const std::size_t count =
        co_await transport_->read({static_cast<char*>(space.data()), space.size()});
    buffer_.commit(count);
    co_return count;
  }

  /// Reads until the head or, with an eager parser, the whole message is there; answers what is
  /// malformed, too large or too slow. `body` grows with what arrives.
  asio::awaitable<bool> arrived(Parser& parser, const Request& request,
                                std::chrono::milliseconds timeout, Lease* body) {
    Deadline deadline(socket_, timeout, body != nullptr ? options_.min_bytes_per_second : 0);
    error_code error;
    std::exception_ptr no_room;
    bool more = true;
    while (more && !is_complete(parser)) {
      if (buffer_.size() > 0) {
        feed(parser, buffer_, error);
        if (body != nullptr && !error) no_room = charge(parser, request, *body);
        if (error || no_room || is_complete(parser)) break;
      }
      const std::size_t count = co_await read_more();
      deadline.moved(count);
      more = count > 0 && !deadline.expired();
    }
    if (no_room) {
      co_await answer(request, application_.failed(no_room, request), false);
      co_return false;
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

  /// Takes room for the bytes of the body that are here; what the budget says if there is none.
  static std::exception_ptr charge(const Parser& parser, const Request& request, Lease& body) {
    // A text whose length was not announced doubles as it grows, and is copied then.
    const std::size_t copies = request.chunked ? 2 : 1;
    const auto held = static_cast<std::int64_t>(parser.get().body().size() * copies);
    try {
      if (held > body.amount()) body.grow(held - body.amount());
    } catch (...) {
      return std::current_exception();
    }
    return nullptr;
  }

  asio::awaitable<bool> discard_body(Parser& parser) {
    const Deadline deadline(socket_, options_.body_deadline);
    parser.eager(true);
    error_code error;
    while (true) {
      if (buffer_.size() > 0) feed(parser, buffer_, error);
      if (error) co_return false;
      if (parser.is_done()) co_return true;
      if (co_await read_more() == 0) co_return false;
    }
  }

  Response refusal(const HeadProblem& problem, const Request& request) {
    return application_.refuse(problem.status, problem.reason, request.id);
  }

  /// Writes a response; true if the connection can go on.
  asio::awaitable<bool> answer(const Request& request, Response response, bool may_keep) {
    auto* stream = std::get_if<std::shared_ptr<BodyStream>>(&response.body);
    const bool endless = stream != nullptr && !response.content_length;
    const bool keep = may_keep && keep_alive_ && !state_->draining() && !endless;
    std::size_t bytes = 0;
    const bool written = stream != nullptr
                             ? co_await write_stream(request, response, **stream, keep, bytes)
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

  /// One piece is held at a time. A reader who takes them too slowly is left.
  asio::awaitable<bool> write_stream(const Request& request, const Response& response,
                                     BodyStream& stream, bool keep, std::size_t& bytes) {
    const auto length = response.content_length;
    std::string head = head_of(request, response, keep);
    if (length) append_header(head, "Content-Length", std::to_string(*length));
    head += "\r\n";
    const Clock::time_point started = Clock::now();
    std::size_t sent = 0;
    std::optional<std::string> piece = std::string();
    while (piece && !request.gone.stop_requested()) {
      {
        const Deadline deadline(socket_, options_.write_deadline);
        if (!co_await transport_->write(head, *piece)) co_return false;
      }
      bytes += head.size() + piece->size();
      sent += piece->size();
      if (head_only_) co_return true;
      if (length && is_too_slow(sent, Clock::now() - started)) co_return false;
      head.clear();
      piece.reset();
      piece = co_await stream.next();
    }
    co_return !length || sent == *length;
  }

  bool is_too_slow(std::size_t sent, Clock::duration time) const {
    const double seconds = std::chrono::duration<double>(time - options_.write_deadline).count();
    return static_cast<double>(sent) < seconds * static_cast<double>(options_.min_bytes_per_second);
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
  std::string local_;
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
