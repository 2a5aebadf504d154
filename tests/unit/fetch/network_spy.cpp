#include "network_spy.h"

#include <memory>
#include <mutex>
#include <utility>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace itemcrop::test {
namespace {

// The C library's functions know no context, so what they see must be shared.
std::mutex mutex;
std::vector<std::string> dialled;
std::shared_ptr<FakeNames::Resolver> resolver;

std::string text_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "?";
  if (address->sa_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text,
                sizeof(text));
  } else if (address->sa_family == AF_INET6) {
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text,
                sizeof(text));
  }
  return text;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

std::vector<std::string> dialled_addresses() {
  const std::lock_guard lock(mutex);
  return std::exchange(dialled, {});
}

FakeNames::FakeNames(Resolver addresses_of) {
  const std::lock_guard lock(mutex);
  resolver = std::make_shared<Resolver>(std::move(addresses_of));
}

FakeNames::~FakeNames() {
  const std::lock_guard lock(mutex);
  resolver.reset();
}

}  // namespace itemcrop::test

using namespace itemcrop::test;

extern "C" int connect(int socket, const sockaddr* address, socklen_t size) {
  if (address != nullptr && (address->sa_family == AF_INET || address->sa_family == AF_INET6)) {
    const std::lock_guard lock(mutex);
    dialled.push_back(text_of(address));
  }
  static const auto real = next<int (*)(int, const sockaddr*, socklen_t)>("connect");
  return real(socket, address, size);
}

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  static const auto real =
      next<int (*)(const char*, const char*, const addrinfo*, addrinfo**)>("getaddrinfo");
  std::shared_ptr<FakeNames::Resolver> names;
  {
    const std::lock_guard lock(mutex);
    names = resolver;
  }
  if (!names || node == nullptr) return real(node, service, hints, result);
  // Numbers stay the C library's business, so that odd notations mean what they really mean.
  addrinfo numeric = hints != nullptr ? *hints : addrinfo{};
  numeric.ai_flags |= AI_NUMERICHOST;
  if (real(node, service, &numeric, result) == 0) return 0;
  addrinfo* chain = nullptr;
  addrinfo** tail = &chain;
  for (const std::string& address : (*names)(node)) {
    if (real(address.c_str(), service, &numeric, tail) != 0) continue;
    while (*tail != nullptr) tail = &(*tail)->ai_next;
  }
  *result = chain;
  return chain != nullptr ? 0 : EAI_NONAME;
}
