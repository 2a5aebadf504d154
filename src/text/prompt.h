#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "itemcrop/items.h"

#include "io/text_rules.h"
#include "text/tokenizer.h"

namespace itemcrop::text {

/// Caps on what callers may ask for, checked before any work is done.
struct PromptLimits {
  int max_tokens = 256;     ///< tokens of a pass, [CLS] and [SEP] included: config.max_text_tokens
  int max_positions = 512;  ///< of BERT's table, config.text.max_positions: an item and its '.'
  int max_items = 1000;
  int max_passes = 0;  ///< 0: any number
  int max_item_bytes = 1024;
  int max_total_bytes = 64 << 10;  ///< keeps the slowest text under 10 ms
};

/// Tokens [begin, end) of a pass that score one item.
struct ItemSpan {
  int item = 0;  ///< index into the request's items
  int begin = 0;
  int end = 0;
};

/// One caption the model runs: `[CLS] item . item . [SEP]`, or `[CLS] caption [SEP]`. All arrays
/// have one entry a token.
struct PromptPass {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> positions;  ///< position ids; restart after every separator
  std::vector<std::int32_t> blocks;     ///< tokens attend to each other iff these are equal
  /// In the order of the items. An item has one span, or several when an article or a separator
  /// stands between its words; the order within an item is that of the text.
  std::vector<ItemSpan> spans;
  std::string text;  ///< the caption, as the reference would be given it
};

/// Position ids and attention blocks of a token sequence.
struct BlockLayout {
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> blocks;
};

/// Source: generate_masks_with_special_tokens_and_transfer_map of transformers'
/// modeling_grounding_dino.py: separators ([CLS], [SEP], '.', '?') end blocks; the blocks ended by
/// the first and by the last token attend only to themselves, token by token, at position 0.
BlockLayout layout_blocks(std::span<const std::int32_t> ids, io::TextRules rules);

/// Packs items into as few passes as keep their order and split no item; an item that is a caption
/// has a pass of its own. Throws Error naming the item: kInvalidArgument (no items, an item without
/// words, invalid UTF-8, NUL, one of BERT's special tokens, which would let a prompt forge the
/// caption's structure, or more passes than allowed), kLimitExceeded.
std::vector<PromptPass> build_passes(const Tokenizer& tokenizer, std::span<const Item> items,
                                     const PromptLimits& limits, io::TextRules rules);

}  // namespace itemcrop::text
