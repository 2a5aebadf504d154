#include "service/http/transport.h"

#include <array>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace itemcrop::service::http {
namespace {

namespace asio = boost::asio;
constexpr auto kResult = asio::as_tuple(asio::use_awaitable);

template <class Stream>
class StreamTransport : public Transport {
 public:
  asio::awaitable<std::size_t> read(std::span<char> into) override {
    const auto [error, count] =
        co_await stream_.async_read_some(asio::buffer(into.data(), into.size()), kResult);
    co_return error ? 0 : count;
  }

  asio::awaitable<bool> write(std::string_view head, std::string_view body) override {
    const std::array<asio::const_buffer, 2> parts = {asio::buffer(head), asio::buffer(body)};
    const auto [error, count] = co_await asio::async_write(stream_, parts, kResult);
    co_return !error;
  }

 protected:
  template <class... Arguments>
  explicit StreamTransport(Arguments&&... arguments)
      : stream_(std::forward<Arguments>(arguments)...) {}

  Stream stream_;
};

class PlainTransport final : public StreamTransport<Transport::Socket> {
 public:
  explicit PlainTransport(Socket socket) : StreamTransport(std::move(socket)) {}

  Socket& socket() noexcept override { return stream_; }
  asio::awaitable<bool> open() override { co_return true; }
  asio::awaitable<void> close() override { co_return; }
};

class TlsTransport final : public StreamTransport<asio::ssl::stream<Transport::Socket>> {
 public:
  TlsTransport(Socket socket, asio::ssl::context& context)
      : StreamTransport(std::move(socket), context) {}

  Socket& socket() noexcept override { return stream_.next_layer(); }

  asio::awaitable<bool> open() override {
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kResult);
    co_return !error;
  }
  asio::awaitable<void> close() override { co_await stream_.async_shutdown(kResult); }
};

}  // namespace

std::unique_ptr<Transport> make_transport(Transport::Socket socket, asio::ssl::context* tls) {
  if (tls != nullptr) return std::make_unique<TlsTransport>(std::move(socket), *tls);
  return std::make_unique<PlainTransport>(std::move(socket));
}

}  // namespace itemcrop::service::http
