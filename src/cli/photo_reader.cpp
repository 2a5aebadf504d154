#include "cli/photo_reader.h"

#include <istream>
#include <memory>
#include <string>

#include "itemcrop/error.h"

#include "fetch/fetch.h"

namespace itemcrop::cli {
namespace {

std::vector<std::byte> read_stream(std::istream& in, std::size_t max_bytes) {
  std::vector<std::byte> bytes;
  constexpr std::size_t kChunk = 64 * 1024;
  while (in) {
    const std::size_t before = bytes.size();
    bytes.resize(before + kChunk);
    in.read(reinterpret_cast<char*>(bytes.data() + before), kChunk);
    bytes.resize(before + static_cast<std::size_t>(in.gcount()));
    if (bytes.size() > max_bytes) {
      throw Error(ErrorCode::kLimitExceeded, "standard input holds more than max_bytes = " +
                                                 std::to_string(max_bytes) + " bytes");
    }
  }
  if (bytes.empty()) throw Error(ErrorCode::kInvalidArgument, "standard input is empty");
  return bytes;
}

}  // namespace

PhotoReader make_photo_reader(std::istream& in, const PhotoArguments& arguments) {
  // Shared, because a reader is copied; made only when a URL needs it.
  return [&in, options = arguments.decode, limits = arguments.limits, fetch = arguments.fetch,
          fetcher = std::shared_ptr<fetch::Fetcher>()](const PhotoSource& source) mutable {
    if (source.url) {
      if (fetcher == nullptr) fetcher = std::make_shared<fetch::Fetcher>(fetch);
      return image::decode(fetcher->fetch(source.name), options, limits);
    }
    if (!source.standard_input) return image::decode_file(source.path, options, limits);
    return image::decode(read_stream(in, limits.max_bytes), options, limits);
  };
}

}  // namespace itemcrop::cli
