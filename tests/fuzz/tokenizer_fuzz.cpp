// Any bytes as text, and as a tokenizer.json.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "itemcrop/error.h"

#include "small_tokenizer.h"

namespace {

using namespace itemcrop;

/// Spans lie in the text and never go backwards; text is refused for its encoding alone.
void check_tokens(const text::Tokenizer& tokenizer, std::string_view text) {
  try {
    int begin = 0;
    for (const text::Token& token : tokenizer.tokenize(text)) {
      if (token.id < 0 || token.id >= tokenizer.vocabulary_size() || token.begin < begin ||
          token.end < token.begin || token.end > static_cast<int>(text.size())) {
        std::abort();
      }
      begin = token.begin;
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) {
      std::abort();
    }
  }
}

void check_json(std::string_view json) {
  try {
    check_tokens(text::Tokenizer::from_json(json), "a cat. [SEP]");
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal || error.code() == ErrorCode::kInvalidArgument) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const text::Tokenizer tokenizer = test::small_tokenizer();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_tokens(tokenizer, text);
  check_json(text);
  return 0;
}
