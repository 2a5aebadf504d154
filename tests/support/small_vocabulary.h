#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace itemcrop::test {

/// A vocabulary of `size` tokens, 1030 at least, with BERT's special ids and no other words.
inline std::vector<std::string> small_vocabulary(std::size_t size = 1030) {
  std::vector<std::string> tokens;
  tokens.reserve(size);
  for (std::size_t i = 0; i < size; ++i) tokens.push_back("[unused" + std::to_string(i) + "]");
  tokens[0] = "[PAD]";
  tokens[100] = "[UNK]";
  tokens[101] = "[CLS]";
  tokens[102] = "[SEP]";
  tokens[103] = "[MASK]";
  tokens[1012].assign(1, '.');
  tokens[1029].assign(1, '?');
  return tokens;
}

}  // namespace itemcrop::test
