#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/tokenizer.h"

namespace itemcrop::test {

/// A file of tests/golden/tokenizer; throws, and so fails the test, if it is missing.
inline nlohmann::json tokenizer_golden(const std::string& name) {
  const std::string path = std::string(ITEMCROP_GOLDEN_DIR) + "/tokenizer/" + name;
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("missing golden: " + path);
  }
  return nlohmann::json::parse(file);
}

/// BERT's own vocabulary.
inline text::Tokenizer bert_tokenizer() {
  return text::Tokenizer::load(std::string(ITEMCROP_GOLDEN_DIR) + "/tokenizer");
}

/// What a golden's "ids" and "spans" hold: tokens between [CLS] and [SEP].
struct Encoded {
  std::vector<std::int32_t> ids;
  std::vector<std::pair<int, int>> spans;

  bool operator==(const Encoded&) const = default;
};

inline Encoded encode(const text::Tokenizer& tokenizer, const std::string& text) {
  Encoded encoded{{tokenizer.cls_id()}, {{0, 0}}};
  for (const text::Token& token : tokenizer.tokenize(text)) {
    encoded.ids.push_back(token.id);
    encoded.spans.emplace_back(token.begin, token.end);
  }
  encoded.ids.push_back(tokenizer.sep_id());
  encoded.spans.emplace_back(0, 0);
  return encoded;
}

}  // namespace itemcrop::test
