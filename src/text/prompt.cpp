#include "text/prompt.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "itemcrop/error.h"

namespace itemcrop::text {
namespace {

// [CLS], [SEP] and the '.' after an item.
constexpr int kFrameTokens = 2;
constexpr int kSeparatorTokens = 1;
constexpr std::size_t kMaxShownBytes = 60;

/// "item 3 ('navy blazer')"; bytes that are not plain ASCII are not repeated in messages.
std::string describe(std::size_t index, std::string_view prompt) {
  std::string shown;
  for (const char c : prompt.substr(0, kMaxShownBytes)) {
    shown += c >= 0x20 && c < 0x7F ? c : '?';
  }
  if (prompt.size() > kMaxShownBytes) {
    shown += "...";
  }
  return "item " + std::to_string(index + 1) + " ('" + shown + "')";
}

[[noreturn]] void refuse(ErrorCode code, const std::string& message) { throw Error(code, message); }

/// Sizes only, so that abuse costs nothing.
void check_sizes(std::span<const Item> items, const PromptLimits& limits) {
  if (items.empty()) {
    refuse(ErrorCode::kInvalidArgument, "items: at least one is needed");
  }
  if (items.size() > static_cast<std::size_t>(limits.max_items)) {
    refuse(ErrorCode::kLimitExceeded, "items: " + std::to_string(items.size()) +
                                          " given, the limit is " +
                                          std::to_string(limits.max_items));
  }
  std::size_t total = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string& prompt = items[i].prompt;
    if (prompt.size() > static_cast<std::size_t>(limits.max_item_bytes)) {
      refuse(ErrorCode::kLimitExceeded,
             describe(i, prompt) + " has " + std::to_string(prompt.size()) +
                 " bytes, the limit is " + std::to_string(limits.max_item_bytes));
    }
    total += prompt.size();
  }
  if (total > static_cast<std::size_t>(limits.max_total_bytes)) {
    refuse(ErrorCode::kLimitExceeded, "items: " + std::to_string(total) +
                                          " bytes in all, the limit is " +
                                          std::to_string(limits.max_total_bytes));
  }
}

/// Without white space at the ends and the full stops that a caption adds itself.
std::string_view trim(std::string_view prompt) {
  const std::size_t begin = prompt.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) {
    return {};
  }
  return prompt.substr(begin, prompt.find_last_not_of(" \t\r\n.") + 1 - begin);
}

/// One item's tokens and which of them score it.
struct TokenizedItem {
  std::string_view text;
  std::vector<std::int32_t> ids;
  std::vector<ItemSpan> spans;  // relative to ids
};

class ItemReader {
 public:
  ItemReader(const Tokenizer& tokenizer, const PromptLimits& limits)
      : tokenizer_(tokenizer), limits_(limits) {
    constexpr std::array<std::string_view, 3> kArticles{"a", "an", "the"};
    for (const std::string_view article : kArticles) {
      const std::int32_t id = tokenizer.tokenize(article).front().id;
      if (id != tokenizer.unk_id()) {
        articles_.push_back(id);
      }
    }
  }

  TokenizedItem read(std::size_t index, const Item& of) const {
    const std::string& prompt = of.prompt;
    if (prompt.find('\0') != std::string::npos) {
      refuse(ErrorCode::kInvalidArgument, describe(index, prompt) + " contains a NUL byte");
    }
    TokenizedItem item;
    item.text = of.is_caption ? std::string_view(prompt) : trim(prompt);
    for (const Token& token : tokenize(index, prompt, item.text)) {
      check_not_special(index, prompt, token.id);
      item.ids.push_back(token.id);
    }
    const int room =
        std::min(limits_.max_tokens - kFrameTokens, limits_.max_positions) - kSeparatorTokens;
    if (static_cast<int>(item.ids.size()) > room) {
      refuse(ErrorCode::kLimitExceeded, describe(index, prompt) + " has " +
                                            std::to_string(item.ids.size()) +
                                            " tokens, the limit is " + std::to_string(room));
    }
    const auto is_word = [&](std::int32_t id) { return !is_separator(id); };
    const auto is_content = [&](std::int32_t id) {
      return is_word(id) && std::find(articles_.begin(), articles_.end(), id) == articles_.end();
    };
    item.spans = spans_where(index, item.ids, is_content);
    if (item.spans.empty()) {
      item.spans = spans_where(index, item.ids, is_word);
    }
    if (item.spans.empty()) {
      refuse(ErrorCode::kInvalidArgument, describe(index, prompt) + " has no words");
    }
    return item;
  }

 private:
  std::vector<Token> tokenize(std::size_t index, const std::string& prompt,
                              std::string_view text) const {
    try {
      return tokenizer_.tokenize(text);
    } catch (const Error& error) {
      refuse(error.code(), describe(index, prompt) + ": " + error.what());
    }
  }

  void check_not_special(std::size_t index, const std::string& prompt, std::int32_t id) const {
    if (id == tokenizer_.cls_id() || id == tokenizer_.sep_id() || id == tokenizer_.pad_id() ||
        id == tokenizer_.mask_id()) {
      refuse(ErrorCode::kInvalidArgument, describe(index, prompt) + " contains the special token " +
                                              tokenizer_.token(id) +
                                              ", which would change the caption's structure");
    }
  }

  bool is_separator(std::int32_t id) const {
    return id == tokenizer_.period_id() || id == tokenizer_.question_id();
  }

  template <typename Predicate>
  static std::vector<ItemSpan> spans_where(std::size_t index, const std::vector<std::int32_t>& ids,
                                           const Predicate& holds) {
    std::vector<ItemSpan> spans;
    for (auto begin = ids.begin(); begin != ids.end();) {
      begin = std::find_if(begin, ids.end(), holds);
      const auto end = std::find_if_not(begin, ids.end(), holds);
      if (begin != end) {
        spans.push_back({static_cast<int>(index), static_cast<int>(begin - ids.begin()),
                         static_cast<int>(end - ids.begin())});
      }
      begin = end;
    }
    return spans;
  }

  const Tokenizer& tokenizer_;
  const PromptLimits& limits_;
  std::vector<std::int32_t> articles_;
};

void append_item(PromptPass& pass, const TokenizedItem& item) {
  const auto offset = static_cast<int>(pass.ids.size());
  for (const ItemSpan& span : item.spans) {
    pass.spans.push_back({span.item, span.begin + offset, span.end + offset});
  }
  pass.ids.insert(pass.ids.end(), item.ids.begin(), item.ids.end());
  pass.text += pass.text.empty() ? "" : " ";
  pass.text += item.text;
}

}  // namespace

BlockLayout layout_blocks(std::span<const std::int32_t> ids, io::TextRules rules) {
  constexpr std::array<std::int32_t, 4> kSeparators{101, 102, 1012, 1029};
  const auto count = static_cast<std::int32_t>(ids.size());
  BlockLayout layout;
  layout.positions.assign(ids.size(), 0);
  // Blocks are named after their last token, and a lone token after itself: no name is used twice.
  for (std::int32_t i = 0; i < count; ++i) {
    layout.blocks.push_back(i);
  }
  std::int32_t begin = 0;
  for (std::int32_t end = 0; end < count; ++end) {
    const std::int32_t id = ids[static_cast<std::size_t>(end)];
    if (std::find(kSeparators.begin(), kSeparators.end(), id) == kSeparators.end()) {
      continue;
    }
    if (end != 0 && end != count - 1) {
      for (std::int32_t i = begin; i <= end; ++i) {
        const bool restarts = i == end && rules == io::TextRules::kTransformers5;
        layout.positions[static_cast<std::size_t>(i)] = restarts ? 0 : i - begin;
        layout.blocks[static_cast<std::size_t>(i)] = end;
      }
    }
    begin = end + 1;
  }
  return layout;
}

std::vector<PromptPass> build_passes(const Tokenizer& tokenizer, std::span<const Item> items,
                                     const PromptLimits& limits, io::TextRules rules) {
  check_sizes(items, limits);
  const ItemReader reader(tokenizer, limits);
  std::vector<PromptPass> passes;
  bool is_open = false;  // whether the last pass may take more items
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool is_caption = items[i].is_caption;
    const TokenizedItem item = reader.read(i, items[i]);
    const auto needed = static_cast<int>(item.ids.size()) + kSeparatorTokens;
    const bool fits =
        is_open && static_cast<int>(passes.back().ids.size()) + 1 + needed <= limits.max_tokens;
    if (!fits || is_caption) passes.emplace_back().ids.push_back(tokenizer.cls_id());
    append_item(passes.back(), item);
    if (!is_caption) {
      passes.back().ids.push_back(tokenizer.period_id());
      passes.back().text += ".";
    }
    is_open = !is_caption;
  }
  if (limits.max_passes > 0 && passes.size() > static_cast<std::size_t>(limits.max_passes)) {
    refuse(ErrorCode::kInvalidArgument, "items: they take " + std::to_string(passes.size()) +
                                            " passes of the model, max_passes is " +
                                            std::to_string(limits.max_passes));
  }
  for (PromptPass& pass : passes) {
    pass.ids.push_back(tokenizer.sep_id());
    BlockLayout layout = layout_blocks(pass.ids, rules);
    pass.positions = std::move(layout.positions);
    pass.blocks = std::move(layout.blocks);
  }
  return passes;
}

}  // namespace itemcrop::text
