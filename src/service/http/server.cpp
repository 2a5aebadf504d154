#include "service/http/server.h"

#include <condition_variable>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "itemcrop/error.h"

#include "core/budget.h"
#include "service/http/application.h"
#include "service/http/connection.h"
#include "service/http/transport.h"

namespace itemcrop::service::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

tcp::endpoint resolve(asio::io_context& io, const std::string& host, std::uint16_t port) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "host '" + host + "' is not an address to listen on: " + error.message());
  }
  return found.begin()->endpoint();
}

std::unique_ptr<asio::ssl::context> tls_context(const ServerOptions& options) {
  if (options.tls_certificate.empty() && options.tls_key.empty()) return nullptr;
  if (options.tls_certificate.empty() || options.tls_key.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "tls_certificate and tls_key are needed together");
  }
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_compression);
  SSL_CTX_set_options(context->native_handle(),
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Of TLS 1.2 only what has forward secrecy and authenticated encryption; 1.3 has nothing else.
  if (SSL_CTX_set_cipher_list(context->native_handle(), "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
    throw Error(ErrorCode::kInternal, "TLS has no cipher suite with forward secrecy");
  }
  error_code error;
  context->use_certificate_chain_file(options.tls_certificate, error);
  if (error) {
    throw Error(ErrorCode::kInvalidArgument, "tls_certificate '" + options.tls_certificate +
                                                 "' cannot be used: " + error.message());
  }
  context->use_private_key_file(options.tls_key, asio::ssl::context::pem, error);
  if (error) {
    throw Error(ErrorCode::kInvalidArgument,
                "tls_key '" + options.tls_key + "' cannot be used: " + error.message());
  }
  return context;
}

}  // namespace

struct Server::State {
  State(ServerOptions given, Application& served)
      : options(std::move(given)),
        application(served),
        tls(tls_context(options)),
        acceptor(asio::make_strand(io)) {
    const tcp::endpoint endpoint = resolve(io, options.host, options.port);
    error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(1024, error);
    if (error) {
      throw Error(ErrorCode::kIo, "cannot listen on " + options.host + " port " +
                                      std::to_string(options.port) + ": " + error.message());
    }
    port = acceptor.local_endpoint().port();
  }

  asio::awaitable<void> accept() {
    for (;;) {
      auto strand = asio::make_strand(io);
      auto [error, socket] =
          co_await acceptor.async_accept(strand, asio::as_tuple(asio::use_awaitable));
      if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
      if (error) {  // out of descriptors, say: give others time to end
        asio::steady_timer pause(co_await asio::this_coro::executor);
        pause.expires_after(std::chrono::milliseconds(20));
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
        continue;
      }
      const auto peer = socket.remote_endpoint(error);
      const auto member = error ? std::nullopt : join(peer.address().to_string());
      if (!member) {
        socket.close(error);
        continue;
      }
      asio::co_spawn(strand, serve_one(std::move(socket), *member), asio::detached);
    }
  }

  struct Member {
    std::shared_ptr<ConnectionState> connection;
    Lease lease;
  };
  using Position = std::list<Member>::iterator;

  asio::awaitable<void> serve_one(Transport::Socket socket, Position member) {
    // Whatever ends a connection, also an exception, must end its membership.
    struct Membership {
      State& state;
      Position member;
      ~Membership() { state.leave(member); }
    } membership{*this, member};
    co_await serve(make_transport(std::move(socket), tls.get()), options, application,
                   member->connection);
  }

  std::optional<Position> join(const std::string& address) {
    std::string caller;
    if (!options.is_proxy || !options.is_proxy(address)) {
      caller = options.caller_of ? options.caller_of(address) : address;
    }
    const std::lock_guard lock(mutex);
    auto lease = draining ? std::nullopt : budget.try_take(1, caller);
    if (!lease) {
      application.connections(members.size(), true);
      return std::nullopt;
    }
    members.push_back({std::make_shared<ConnectionState>(), std::move(*lease)});
    application.connections(members.size(), false);
    return std::prev(members.end());
  }

  void leave(Position member) {
    const std::lock_guard lock(mutex);
    members.erase(member);
    application.connections(members.size(), false);
    left.notify_all();
  }

  void stop_accepting() {
    asio::post(acceptor.get_executor(), [this] {
      error_code ignored;
      acceptor.close(ignored);
    });
  }

  ServerOptions options;
  Application& application;
  asio::io_context io;
  std::unique_ptr<asio::ssl::context> tls;
  tcp::acceptor acceptor;
  std::uint16_t port = 0;

  std::mutex mutex;
  std::condition_variable left;
  Budget budget{{"max_connections", static_cast<std::int64_t>(options.max_connections),
                 "caller_share of max_connections", options.caller_share}};
  std::list<Member> members;
  bool draining = false;

  std::vector<std::thread> threads;
};

Server::Server(ServerOptions options, Application& application)
    : state_(std::make_unique<State>(std::move(options), application)) {}

Server::~Server() {
  drain(std::chrono::milliseconds(0));
  state_->io.stop();
  for (std::thread& thread : state_->threads) thread.join();
}

std::uint16_t Server::port() const noexcept { return state_->port; }

void Server::start() {
  asio::co_spawn(state_->acceptor.get_executor(), state_->accept(), asio::detached);
  for (int i = 0; i < state_->options.threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->io.run(); });
  }
}

bool Server::drain(std::chrono::milliseconds timeout) {
  state_->stop_accepting();
  std::unique_lock lock(state_->mutex);
  state_->draining = true;
  for (const auto& member : state_->members) member.connection->drain();
  const auto empty = [this] { return state_->members.empty(); };
  if (state_->left.wait_for(lock, timeout, empty)) return true;
  for (const auto& member : state_->members) member.connection->stop.request_stop();
  state_->left.wait_for(lock, std::chrono::milliseconds(500), empty);
  return false;
}

std::size_t Server::connections() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->members.size();
}

}  // namespace itemcrop::service::http
