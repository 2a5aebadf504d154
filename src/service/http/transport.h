#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

namespace itemcrop::service::http {

/// A connection's bytes, with or without TLS. One class behind it, so that the HTTP code is
/// compiled once. Used on the socket's strand only.
class Transport {
 public:
  using Socket = boost::asio::ip::tcp::socket;

  virtual ~Transport() = default;

  virtual Socket& socket() noexcept = 0;
  /// The TLS handshake, if any; false if it failed.
  virtual boost::asio::awaitable<bool> open() = 0;
  /// Bytes read, 0 at the end or on failure.
  virtual boost::asio::awaitable<std::size_t> read(std::span<char> into) = 0;
  virtual boost::asio::awaitable<bool> write(std::string_view head, std::string_view body) = 0;
  /// TLS' goodbye, if any.
  virtual boost::asio::awaitable<void> close() = 0;
};

/// `tls` null: plain. It must outlive the transport.
std::unique_ptr<Transport> make_transport(Transport::Socket socket, boost::asio::ssl::context* tls);

}  // namespace itemcrop::service::http
