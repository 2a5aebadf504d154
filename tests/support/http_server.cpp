#include "support/http_server.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace itemcrop::test {
namespace {

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// Waits in small steps, so that a stopping server is noticed.
bool readable(int socket, const std::atomic<bool>& stopping) {
  while (!stopping) {
    pollfd entry{socket, POLLIN, 0};
    if (::poll(&entry, 1, 20) > 0) return true;
  }
  return false;
}

HttpServerRequest parse_head(const std::string& head) {
  HttpServerRequest request;
  request.head = head;
  const std::size_t first = head.find(' ');
  const std::size_t second = head.find(' ', first + 1);
  request.method = head.substr(0, first);
  request.target = head.substr(first + 1, second - first - 1);
  std::size_t line = head.find("\r\n");
  while (line != std::string::npos && line + 2 < head.size()) {
    const std::size_t next = head.find("\r\n", line + 2);
    const std::string text = head.substr(line + 2, next - line - 2);
    if (const std::size_t colon = text.find(':'); colon != std::string::npos) {
      const std::size_t value = text.find_first_not_of(' ', colon + 1);
      request.headers[lower(text.substr(0, colon))] =
          value == std::string::npos ? "" : text.substr(value);
    }
    line = next;
  }
  return request;
}

}  // namespace

bool HttpServerConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return open_ = false;
    pollfd entry{socket_, POLLOUT, 0};
    ::poll(&entry, 1, 20);
    if (*stopping_) return open_ = false;
  }
  return true;
}

bool HttpServerConnection::respond(int status, std::string_view body, std::string_view headers) {
  std::string text = "HTTP/1.1 " + std::to_string(status) +
                     " Test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
                     std::string(headers) + "\r\n";
  text += body;
  return send(text);
}

bool HttpServerConnection::wait_for_end(int milliseconds) const {
  for (int waited = 0; waited < milliseconds; waited += 10) {
    if (*stopping_) return true;
    pollfd entry{socket_, POLLIN | POLLRDHUP, 0};
    if (::poll(&entry, 1, 10) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
      return true;
    }
  }
  return false;
}

HttpServer::HttpServer(Handler handler, const std::string& address, int port)
    : handler_(std::move(handler)), address_(address) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address.c_str(), &name.sin_addr);
  socklen_t size = sizeof(name);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0 ||
      ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    ::close(listener_);
    throw std::runtime_error("the test's server cannot listen");
  }
  port_ = ntohs(name.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  stopping_ = true;
  acceptor_.join();
  for (std::thread& worker : workers_) worker.join();
  ::close(listener_);
}

std::string HttpServer::url(const std::string& path) const {
  return "http://" + address_ + ":" + std::to_string(port_) + path;
}

std::vector<HttpServerRequest> HttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void HttpServer::accept_all() {
  while (readable(listener_, stopping_)) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    ++connections_;
    workers_.emplace_back([this, socket] { serve(socket); });
  }
}

void HttpServer::serve(int socket) {
  HttpServerConnection connection;
  connection.socket_ = socket;
  connection.stopping_ = &stopping_;
  std::string buffer;
  const auto read_more = [&] {
    char piece[16384];
    if (!readable(socket, stopping_)) return false;
    const ssize_t count = ::recv(socket, piece, sizeof(piece), 0);
    if (count <= 0) return false;
    buffer.append(piece, static_cast<std::size_t>(count));
    return true;
  };
  while (connection.open_) {
    std::size_t end;
    bool alive = true;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos && (alive = read_more())) {
    }
    if (!alive) break;
    HttpServerRequest request = parse_head(buffer.substr(0, end + 2));
    buffer.erase(0, end + 4);
    const auto length = request.headers.find("content-length");
    const std::size_t size = length == request.headers.end() ? 0 : std::stoul(length->second);
    while (buffer.size() < size && (alive = read_more())) {
    }
    if (!alive) break;
    request.body = buffer.substr(0, size);
    buffer.erase(0, size);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    handler_(request, connection);
  }
  ::close(socket);
}

}  // namespace itemcrop::test
