#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace itemcrop::service::http {

class Application;

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< numeric address or a name that resolves to one
  std::uint16_t port = 8000;       ///< 0: any free one
  int threads = 2;                 ///< that read and write; work runs elsewhere
  std::string tls_certificate;     ///< PEM chain; empty: no TLS
  std::string tls_key;             ///< PEM
  std::size_t max_connections = 4096;
  double caller_share = 1;  ///< of them, for one address (IPv6: one /64): core/budget.h
  /// Whose callers these are: an address of a proxy has no limit of its own.
  std::function<bool(const std::string& address)> is_proxy = {};
  std::function<std::string(const std::string& address)> caller_of = {};
  std::size_t max_head_bytes = 16 * 1024;
  std::chrono::milliseconds idle_deadline{60'000};   ///< between requests of a connection
  std::chrono::milliseconds head_deadline{10'000};   ///< from the first byte to the head's end
  std::chrono::milliseconds body_deadline{30'000};   ///< to read a whole body
  std::chrono::milliseconds write_deadline{30'000};  ///< to write a response or a stream's piece
  /// Of a body that arrives, over every few seconds, and of a stream of known length, on average.
  /// 0: none.
  std::int64_t min_bytes_per_second = 0;
};

/// An HTTP/1.1 server (RFC 9112) with bounded heads, bodies, connections and waits.
class Server {
 public:
  /// Binds and listens. Throws Error: kInvalidArgument (host, TLS files), kIo (the port is taken).
  Server(ServerOptions options, Application& application);
  /// Ends every connection.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// The port that is listened on.
  std::uint16_t port() const noexcept;

  /// Starts threads that accept and serve.
  void start();

  /// Stops accepting, lets requests in hand finish, closes the rest. Returns when no connection is
  /// left or `timeout` is over; true if all ended by themselves.
  bool drain(std::chrono::milliseconds timeout);

  std::size_t connections() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace itemcrop::service::http
