#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

/// This program's connect() and getaddrinfo() stand before the C library's, for libcurl too, so
/// tests see every address that is dialled and say what names mean.
namespace itemcrop::test {

/// Every address given to connect() since the last call, as text: "127.0.0.1", "::1".
std::vector<std::string> dialled_addresses();

/// While it lives, `addresses_of(name)` answers for getaddrinfo (none: no such name), at each call.
class FakeNames {
 public:
  using Resolver = std::function<std::vector<std::string>(const std::string&)>;
  explicit FakeNames(Resolver addresses_of);
  ~FakeNames();
  FakeNames(const FakeNames&) = delete;
  FakeNames& operator=(const FakeNames&) = delete;
};

}  // namespace itemcrop::test
