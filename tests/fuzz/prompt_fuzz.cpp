// The first byte chooses the token limit, the rest is items, one a line: an Error, or passes that
// hold every item whole.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "itemcrop/error.h"

#include "small_tokenizer.h"
#include "text/prompt.h"

namespace {

using namespace itemcrop;

std::vector<Item> split_lines(std::string_view text) {
  std::vector<Item> items;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    items.push_back({.prompt = std::string(text.substr(0, end))});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return items;
}

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

/// Returns the last item of the pass.
int check_pass(const text::Tokenizer& tokenizer, const text::PromptPass& pass, int max_tokens,
               int last_item) {
  require(static_cast<int>(pass.ids.size()) <= max_tokens);
  require(pass.positions.size() == pass.ids.size() && pass.blocks.size() == pass.ids.size());
  const std::vector<text::Token> tokens = tokenizer.tokenize(pass.text);
  require(tokens.size() + 2 == pass.ids.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    require(tokens[i].id == pass.ids[i + 1]);
  }
  int end = 1;
  for (const text::ItemSpan& span : pass.spans) {
    require(span.item == last_item || span.item == last_item + 1);
    require(span.begin >= end && span.begin < span.end);
    last_item = span.item;
    end = span.end;
  }
  require(end < static_cast<int>(pass.ids.size()));
  return last_item;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  static const text::Tokenizer tokenizer = test::small_tokenizer();
  const std::vector<Item> items = split_lines({reinterpret_cast<const char*>(data) + 1, size - 1});
  text::PromptLimits limits;
  limits.max_tokens = 4 + data[0];
  const auto rules = data[0] % 2 == 0 ? io::TextRules::kPublished : io::TextRules::kTransformers5;
  try {
    int last_item = -1;
    for (const text::PromptPass& pass : text::build_passes(tokenizer, items, limits, rules)) {
      const int first_item = pass.spans.empty() ? -1 : pass.spans.front().item;
      require(first_item == last_item + 1);
      last_item = check_pass(tokenizer, pass, limits.max_tokens, last_item);
    }
    require(last_item + 1 == static_cast<int>(items.size()));
  } catch (const Error& error) {
    require(error.code() == ErrorCode::kInvalidArgument ||
            error.code() == ErrorCode::kLimitExceeded);
  }
  return 0;
}
