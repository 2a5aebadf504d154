#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_trie.h"

namespace itemcrop::text {

/// A literal that stands for itself wherever it occurs in a text.
struct SpecialToken {
  std::string_view text;
  std::int32_t id = -1;
};

/// Checked, immutable list of tokens with the searches that WordPiece makes.
class Vocabulary {
 public:
  /// tokens[i] has id i. Throws Error: kCorruptModel (empty, repeated or over-long token, no
  /// special token), kUnsupportedModel (ids the model is not tied to). `origin` names the file.
  Vocabulary(std::vector<std::string> tokens, const std::string& origin);
  Vocabulary(const Vocabulary&) = delete;  // the searches point into the list
  Vocabulary& operator=(const Vocabulary&) = delete;

  const std::vector<std::string>& tokens() const noexcept { return tokens_; }
  /// Tokens that may begin a word.
  const TokenTrie& initial() const noexcept { return initial_; }
  /// Tokens that continue one ("##ing"), without their "##".
  const TokenTrie& continuation() const noexcept { return continuation_; }

  const SpecialToken& pad() const noexcept { return specials_[0]; }
  const SpecialToken& unk() const noexcept { return specials_[1]; }
  const SpecialToken& cls() const noexcept { return specials_[2]; }
  const SpecialToken& sep() const noexcept { return specials_[3]; }
  const SpecialToken& mask() const noexcept { return specials_[4]; }
  const std::array<SpecialToken, 5>& specials() const noexcept { return specials_; }
  std::int32_t period() const noexcept { return period_; }
  std::int32_t question() const noexcept { return question_; }

 private:
  std::vector<std::string> tokens_;
  TokenTrie initial_;
  TokenTrie continuation_;
  std::array<SpecialToken, 5> specials_;
  std::int32_t period_ = -1;
  std::int32_t question_ = -1;
};

}  // namespace itemcrop::text
