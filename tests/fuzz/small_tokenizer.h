#pragma once

#include <string>
#include <vector>

#include "support/small_vocabulary.h"
#include "text/tokenizer.h"

namespace itemcrop::test {

/// Every printable ASCII character as a word and as a continuation, with BERT's special ids.
inline text::Tokenizer small_tokenizer() {
  std::vector<std::string> tokens = small_vocabulary();
  for (char c = '!'; c <= '~'; ++c) {
    if (c != '.' && c != '?') {
      tokens.emplace_back(1, c);
    }
    tokens.push_back(std::string("##") + c);
  }
  tokens.emplace_back("the");
  tokens.emplace_back("an");
  return text::Tokenizer::from_vocabulary(std::move(tokens));
}

}  // namespace itemcrop::test
