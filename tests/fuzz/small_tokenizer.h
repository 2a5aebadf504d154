#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace itemcrop::test {

/// Every printable ASCII character as a word and as a continuation, with BERT's special ids.
inline text::Tokenizer small_tokenizer() {
  std::vector<std::string> tokens;
  for (int i = 0; i < 1030; ++i) {
    tokens.push_back("[unused" + std::to_string(i) + "]");
  }
  tokens[0] = "[PAD]";
  tokens[100] = "[UNK]";
  tokens[101] = "[CLS]";
  tokens[102] = "[SEP]";
  tokens[103] = "[MASK]";
  tokens[1012].assign(1, '.');
  tokens[1029].assign(1, '?');
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
