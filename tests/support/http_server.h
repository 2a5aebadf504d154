#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace itemcrop::test {

struct HttpServerRequest {
  std::string method, target;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string head;                            ///< as it came
  std::string body;
};

/// The server's end of one connection, given to the handler for each request.
class HttpServerConnection {
 public:
  /// False if the client is gone.
  bool send(std::string_view bytes);
  /// "HTTP/1.1 STATUS", Content-Length and the body. `headers`: lines with their "\r\n".
  bool respond(int status, std::string_view body, std::string_view headers = {});
  /// Waits, at most so long, until the client leaves or the server stops. True if it did.
  bool wait_for_end(int milliseconds) const;
  /// No further request is read.
  void close() { open_ = false; }

 private:
  friend class HttpServer;
  int socket_ = -1;
  bool open_ = true;
  const std::atomic<bool>* stopping_ = nullptr;
};

/// A small web server on a loopback address, for tests: one thread a connection, keep-alive.
class HttpServer {
 public:
  using Handler = std::function<void(const HttpServerRequest&, HttpServerConnection&)>;
  /// `port` 0: any free one.
  explicit HttpServer(Handler handler, const std::string& address = "127.0.0.1", int port = 0);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const { return port_; }
  /// "http://127.0.0.1:PORT".
  std::string url(const std::string& path = "") const;
  int connections() const { return connections_; }
  std::vector<HttpServerRequest> requests() const;

 private:
  void accept_all();
  void serve(int socket);

  Handler handler_;
  std::string address_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  mutable std::mutex mutex_;
  std::vector<HttpServerRequest> requests_;
  std::list<std::thread> workers_;
  std::thread acceptor_;
};

}  // namespace itemcrop::test
