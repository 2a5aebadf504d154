#include "hub/file_hash.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "itemcrop/error.h"

#include "core/file_descriptor.h"
#include "core/hexadecimal.h"

namespace itemcrop::hub {
namespace {

constexpr std::size_t kPiece = 1 << 20;

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw Error(ErrorCode::kIo, path.string() + ": cannot read it to check its hash: " +
                                  std::generic_category().message(errno));
}

}  // namespace

bool is_content_hash(std::string_view text) noexcept {
  return (text.size() == 64 || text.size() == 40) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool file_matches(const std::filesystem::path& path, const std::string& hash) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) fail(path);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  const bool git = hash.size() == 40;
  bool good = context != nullptr &&
              EVP_DigestInit_ex(context.get(), git ? EVP_sha1() : EVP_sha256(), nullptr) == 1;
  if (git) {
    const std::string header = "blob " + std::to_string(status.st_size);
    good = good && EVP_DigestUpdate(context.get(), header.c_str(), header.size() + 1) == 1;
  }
  std::vector<unsigned char> piece(kPiece);
  for (;;) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path);
    if (count == 0) break;
    good =
        good && EVP_DigestUpdate(context.get(), piece.data(), static_cast<std::size_t>(count)) == 1;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  good = good && EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1;
  if (!good) throw Error(ErrorCode::kInternal, "OpenSSL cannot compute a hash");
  return hexadecimal(std::as_bytes(std::span(digest.data(), size))) == hash;
}

}  // namespace itemcrop::hub
