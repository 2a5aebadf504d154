#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

#include <boost/asio/awaitable.hpp>

#include "service/http/server.h"

namespace itemcrop::service::http {

class Transport;

/// What a server and one of its connections know of each other. Thread-safe.
class ConnectionState {
 public:
  std::stop_source stop;  ///< ends the request in hand

  /// Asks the connection to close after the answer in hand, at once if it has none.
  void drain();
  bool draining() const noexcept { return draining_; }

  /// The connection's own: `end_idle` runs on any thread while it waits for a request.
  void set_idle(std::function<void()> end_idle);

 private:
  std::atomic<bool> draining_ = false;
  std::mutex mutex_;
  std::function<void()> end_idle_;
};

/// Serves a connection until it ends. Runs on the socket's executor, which must be a strand.
boost::asio::awaitable<void> serve(std::unique_ptr<Transport> transport,
                                   const ServerOptions& options, Application& application,
                                   std::shared_ptr<ConnectionState> state);

}  // namespace itemcrop::service::http
