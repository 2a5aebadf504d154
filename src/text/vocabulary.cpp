#include "text/vocabulary.h"

#include <unordered_map>
#include <utility>

#include "itemcrop/error.h"

#include "text/unicode.h"

namespace itemcrop::text {
namespace {

constexpr std::size_t kMaxTokens = 1 << 20;
constexpr std::size_t kMaxTokenBytes = 400;
constexpr std::string_view kContinuationPrefix = "##";

using IdMap = std::unordered_map<std::string_view, std::int32_t>;

IdMap index_tokens(const std::vector<std::string>& tokens, const std::string& origin) {
  if (tokens.size() > kMaxTokens) {
    throw Error(ErrorCode::kLimitExceeded, origin + ": " + std::to_string(tokens.size()) +
                                               " tokens, the limit is " +
                                               std::to_string(kMaxTokens));
  }
  IdMap ids;
  ids.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto fail = [&](const std::string& what) {
      throw Error(ErrorCode::kCorruptModel, origin + ": token " + std::to_string(i) + what);
    };
    if (tokens[i].empty() || tokens[i].size() > kMaxTokenBytes) {
      fail(" has " + std::to_string(tokens[i].size()) + " bytes, must have 1 to " +
           std::to_string(kMaxTokenBytes));
    }
    if (!is_valid_utf8(tokens[i])) {
      fail(" is not valid UTF-8");
    }
    const auto [earlier, added] = ids.emplace(tokens[i], static_cast<std::int32_t>(i));
    if (!added) {
      fail(" ('" + tokens[i] + "') repeats token " + std::to_string(earlier->second));
    }
  }
  return ids;
}

std::int32_t find(const IdMap& ids, std::string_view token, const std::string& origin) {
  const auto found = ids.find(token);
  if (found == ids.end()) {
    throw Error(ErrorCode::kCorruptModel,
                origin + ": the token '" + std::string(token) + "' is missing");
  }
  return found->second;
}

void require_id(std::string_view token, std::int32_t id, std::int32_t expected,
                const std::string& origin) {
  if (id != expected) {
    throw Error(ErrorCode::kUnsupportedModel,
                origin + ": the token '" + std::string(token) + "' must have id " +
                    std::to_string(expected) + ", which the model's block rule is tied to, not " +
                    std::to_string(id));
  }
}

}  // namespace

Vocabulary::Vocabulary(std::vector<std::string> tokens, const std::string& origin)
    : tokens_(std::move(tokens)),
      specials_{{{"[PAD]"}, {"[UNK]"}, {"[CLS]"}, {"[SEP]"}, {"[MASK]"}}} {
  const IdMap ids = index_tokens(tokens_, origin);
  for (SpecialToken& special : specials_) {
    special.id = find(ids, special.text, origin);
  }
  period_ = find(ids, ".", origin);
  question_ = find(ids, "?", origin);
  // modeling_grounding_dino.py: SPECIAL_TOKENS = [101, 102, 1012, 1029]
  require_id("[CLS]", cls().id, 101, origin);
  require_id("[SEP]", sep().id, 102, origin);
  require_id(".", period_, 1012, origin);
  require_id("?", question_, 1029, origin);

  std::vector<std::pair<std::string_view, std::int32_t>> initial;
  std::vector<std::pair<std::string_view, std::int32_t>> continuation;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view token = tokens_[i];
    const auto id = static_cast<std::int32_t>(i);
    if (token.size() > kContinuationPrefix.size() && token.starts_with(kContinuationPrefix)) {
      continuation.emplace_back(token.substr(kContinuationPrefix.size()), id);
    } else {
      initial.emplace_back(token, id);
    }
  }
  initial_ = TokenTrie(std::move(initial));
  continuation_ = TokenTrie(std::move(continuation));
}

}  // namespace itemcrop::text
