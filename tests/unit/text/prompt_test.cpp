#include "text/prompt.h"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "golden_json.h"
#include "support/expect_error.h"

namespace itemcrop::text {
namespace {

using test::expect_error;

const Tokenizer& bert() {
  static const Tokenizer tokenizer = test::bert_tokenizer();
  return tokenizer;
}

std::vector<Item> items_of(std::initializer_list<const char*> prompts) {
  std::vector<Item> items;
  for (const char* prompt : prompts) {
    items.push_back({.prompt = prompt});
  }
  return items;
}

std::vector<PromptPass> build(const std::vector<Item>& items, const PromptLimits& limits = {}) {
  return build_passes(bert(), items, limits, io::TextRules::kPublished);
}

PromptPass build_one(std::initializer_list<const char*> prompts) {
  const auto passes = build(items_of(prompts));
  EXPECT_EQ(passes.size(), 1U);
  return passes.front();
}

void expect_refused(ErrorCode code, const std::string& prompt, const char* part) {
  SCOPED_TRACE(prompt.substr(0, 60));
  expect_error(code, part, [&] { build({{.prompt = "cat"}, {.prompt = prompt}}); });
}

/// The words of one item's spans.
std::vector<std::string> scored_words(const PromptPass& pass, int item) {
  std::vector<std::string> words;
  for (const ItemSpan& span : pass.spans) {
    for (int i = span.begin; span.item == item && i < span.end; ++i) {
      words.push_back(bert().token(pass.ids[static_cast<std::size_t>(i)]));
    }
  }
  return words;
}

using Words = std::vector<std::string>;

void expect_layout(const nlohmann::json& ids_json, const nlohmann::json& positions,
                   io::TextRules rules) {
  const auto ids = ids_json.get<std::vector<std::int32_t>>();
  EXPECT_EQ(layout_blocks(ids, rules).positions, positions.get<std::vector<std::int32_t>>())
      << ids_json;
}

TEST(LayoutBlocks, MatchesTheReferenceOnOddAndRandomSequences) {
  const auto golden = test::tokenizer_golden("blocks.json");
  ASSERT_GE(golden.at("cases").size(), 60U);
  for (const auto& row : golden["cases"]) {
    expect_layout(row.at("ids"), row.at("positions_published"), io::TextRules::kPublished);
    expect_layout(row.at("ids"), row.at("positions_transformers5"), io::TextRules::kTransformers5);
    const auto ids = row["ids"].get<std::vector<std::int32_t>>();
    for (const io::TextRules rules : {io::TextRules::kPublished, io::TextRules::kTransformers5}) {
      const BlockLayout layout = layout_blocks(ids, rules);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        std::string attends;
        for (std::size_t j = 0; j < ids.size(); ++j) {
          attends += layout.blocks[i] == layout.blocks[j] ? '1' : '0';
        }
        EXPECT_EQ(attends, row.at("attends").at(i).get<std::string>())
            << row["ids"] << " token " << i;
      }
    }
  }
}

TEST(LayoutBlocks, MatchesTheReferenceOnPrompts) {
  const auto golden = test::tokenizer_golden("prompts.json");
  ASSERT_FALSE(golden.at("cases").empty());
  for (const auto& row : golden["cases"]) {
    expect_layout(row.at("ids"), row.at("positions_published"), io::TextRules::kPublished);
    expect_layout(row.at("ids"), row.at("positions_transformers5"), io::TextRules::kTransformers5);
  }
}

TEST(LayoutBlocks, OfNothingIsEmpty) {
  EXPECT_TRUE(layout_blocks({}, io::TextRules::kPublished).blocks.empty());
}

TEST(BuildPasses, WritesTheCaptionOfTheReference) {
  const PromptPass pass = build_one({"a cat", "a remote control"});
  EXPECT_EQ(pass.text, "a cat. a remote control.");
  EXPECT_EQ(pass.ids,
            (std::vector<std::int32_t>{101, 1037, 4937, 1012, 1037, 6556, 2491, 1012, 102}));
  EXPECT_EQ(pass.positions, (std::vector<std::int32_t>{0, 0, 1, 2, 0, 1, 2, 3, 0}));
  EXPECT_EQ(pass.blocks, (std::vector<std::int32_t>{0, 3, 3, 3, 7, 7, 7, 7, 8}));
}

TEST(BuildPasses, FollowsTheRulesItIsGiven) {
  const auto items = items_of({"a cat"});
  EXPECT_EQ(build_passes(bert(), items, {}, io::TextRules::kPublished).front().positions,
            (std::vector<std::int32_t>{0, 0, 1, 2, 0}));
  EXPECT_EQ(build_passes(bert(), items, {}, io::TextRules::kTransformers5).front().positions,
            (std::vector<std::int32_t>{0, 0, 1, 0, 0}));
}

TEST(BuildPasses, TrimsSpaceAndFullStops) {
  EXPECT_EQ(build_one({" a cat. ", "dog .."}).text, "a cat. dog.");
}

TEST(BuildPasses, ACaptionHasAPassOfItsOwnWithoutAFullStop) {
  std::vector<Item> items = items_of({"hat", "a cat", "two dogs.", "belt"});
  items[1].is_caption = items[2].is_caption = true;
  const std::vector<PromptPass> passes = build(items);
  ASSERT_EQ(passes.size(), 4U);
  EXPECT_EQ(passes[0].text, "hat.");
  EXPECT_EQ(passes[1].text, "a cat");
  EXPECT_EQ(passes[1].ids, (std::vector<std::int32_t>{101, 1037, 4937, 102}));
  EXPECT_EQ(passes[1].positions, (std::vector<std::int32_t>{0, 0, 0, 0}));
  EXPECT_EQ(passes[1].blocks, (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(passes[2].text, "two dogs.");
  EXPECT_EQ(passes[2].ids, (std::vector<std::int32_t>{101, 2048, 6077, 1012, 102}));
  EXPECT_EQ(passes[3].text, "belt.");
}

TEST(BuildPasses, ScoresWordsWithoutArticles) {
  const PromptPass pass = build_one({"a navy blazer", "man in the hat", "t-shirt"});
  EXPECT_EQ(scored_words(pass, 0), (Words{"navy", "blaze", "##r"}));
  EXPECT_EQ(scored_words(pass, 1), (Words{"man", "in", "hat"}));
  EXPECT_EQ(scored_words(pass, 2), (Words{"t", "-", "shirt"}));
  ASSERT_EQ(pass.spans.size(), 4U);
  EXPECT_EQ(pass.spans[1].item, 1);
  EXPECT_EQ(pass.spans[2].item, 1);
}

TEST(BuildPasses, ScoresArticlesWhenNothingElseRemains) {
  EXPECT_EQ(scored_words(build_one({"The", "an a"}), 0), (Words{"the"}));
  EXPECT_EQ(scored_words(build_one({"The", "an a"}), 1), (Words{"an", "a"}));
}

TEST(BuildPasses, AnItemWithSeparatorsKeepsAllItsPieces) {
  const PromptPass pass = build_one({"e.g. shoe? red"});
  EXPECT_EQ(scored_words(pass, 0), (Words{"e", "g", "shoe", "red"}));
  EXPECT_EQ(pass.text, "e.g. shoe? red.");
  EXPECT_EQ(pass.blocks, (std::vector<std::int32_t>{0, 2, 2, 4, 4, 6, 6, 8, 8, 9}));
}

TEST(BuildPasses, TokensAreThoseOfTheCaption) {
  const auto items = items_of({"Navy  blazer", "caf\u00E9 \u4E2D\u6587", "\U0001F45F", "e.g.",
                               "\u0301shoe\u202E", "a?b", "\u2019 quote \u201D", "U.S.A."});
  for (const PromptPass& pass : build(items)) {
    EXPECT_EQ(test::encode(bert(), pass.text).ids, pass.ids) << pass.text;
  }
}

/// 600 items of one to three words, in passes of at most `max_tokens`.
void expect_whole_split(int max_tokens) {
  SCOPED_TRACE(max_tokens);
  std::vector<Item> items;
  for (int i = 0; i < 600; ++i) {
    items.push_back({.prompt = std::string("red ") + (i % 3 == 0 ? "navy " : "") + "shirt"});
  }
  PromptLimits limits;
  limits.max_tokens = max_tokens;
  const auto passes = build(items, limits);
  int next = 0;
  for (std::size_t p = 0; p < passes.size(); ++p) {
    const PromptPass& pass = passes[p];
    EXPECT_LE(pass.ids.size(), static_cast<std::size_t>(max_tokens));
    EXPECT_EQ(pass.positions.size(), pass.ids.size());
    EXPECT_EQ(pass.blocks.size(), pass.ids.size());
    EXPECT_EQ(pass.ids.front(), 101);
    EXPECT_EQ(pass.ids.back(), 102);
    for (const ItemSpan& span : pass.spans) {
      ASSERT_EQ(span.item, next++);
      const Words expected =
          span.item % 3 == 0 ? Words{"red", "navy", "shirt"} : Words{"red", "shirt"};
      EXPECT_EQ(scored_words(pass, span.item), expected);
    }
    if (p + 1 < passes.size()) {
      const ItemSpan& following = passes[p + 1].spans.front();
      EXPECT_GT(pass.ids.size() + static_cast<std::size_t>(following.end - following.begin) + 1,
                static_cast<std::size_t>(max_tokens))
          << "pass " << p << " had room";
    }
  }
  EXPECT_EQ(next, 600);
}

TEST(BuildPasses, NeverSplitsAnItemAndFillsEachPass) {
  for (const int max_tokens : {6, 7, 16, 100, 256}) {
    expect_whole_split(max_tokens);
  }
}

TEST(BuildPasses, TakesAnItemThatFillsAPassAndRefusesALongerOne) {
  PromptLimits limits;
  limits.max_tokens = 8;
  EXPECT_EQ(build(items_of({"red red red red red", "cat"}), limits).size(), 2U);
  expect_error(ErrorCode::kLimitExceeded,
               "item 2 ('red red red red red red') has 6 tokens, the limit is 5", [&] {
                 build(items_of({"cat", "red red red red red red"}), limits);
               });
  limits.max_tokens = 256;
  limits.max_positions = 4;
  EXPECT_EQ(build(items_of({"red red red"}), limits).size(), 1U);
  expect_error(ErrorCode::kLimitExceeded, "has 4 tokens, the limit is 3",
               [&] { build(items_of({"red red red red"}), limits); });
}

TEST(BuildPasses, RefusesItemsWithoutWords) {
  expect_error(ErrorCode::kInvalidArgument, "items: at least one is needed", [] { build({}); });
  for (const char* prompt : {"", "  \t\n", ".", "...", "?", ". ? .", "\u200B", "\u0301", "\x01"}) {
    expect_refused(ErrorCode::kInvalidArgument, prompt, "item 2 (");
    expect_refused(ErrorCode::kInvalidArgument, prompt, "has no words");
  }
}

TEST(BuildPasses, RefusesSpecialTokensThatWouldForgeTheCaption) {
  for (const char* prompt : {"cat [SEP] dog", "[CLS]", "x[MASK]y", "[PAD]"}) {
    expect_refused(ErrorCode::kInvalidArgument, prompt, "contains the special token [");
  }
  EXPECT_NO_THROW(build_one({"[sep] cat"}));
  EXPECT_EQ(scored_words(build_one({"\U0001F45F"}), 0), (Words{"[UNK]"}));
}

TEST(BuildPasses, RefusesInvalidUtf8AndNul) {
  expect_refused(ErrorCode::kInvalidArgument, "caf\xE9",
                 "item 2 ('caf?'): text is not valid UTF-8");
  expect_refused(ErrorCode::kInvalidArgument, std::string("a\0b", 3), "contains a NUL byte");
}

TEST(BuildPasses, ReadsBidiControlsAndEmojiAsTheReferenceDoes) {
  EXPECT_EQ(scored_words(build_one({"\u202Ecat\u202C"}), 0), (Words{"cat"}));
  EXPECT_EQ(scored_words(build_one({"red \U0001F468\u200D\U0001F469"}), 0),
            (Words{"red", "[UNK]"}));
}

TEST(BuildPasses, RefusesAbuseBeforeWorking) {
  const auto start = std::chrono::steady_clock::now();
  expect_refused(ErrorCode::kLimitExceeded, std::string(1 << 20, 'a'),
                 "has 1048576 bytes, the limit is 1024");
  expect_error(ErrorCode::kLimitExceeded, "items: 10000 given, the limit is 1000",
               [] { build(std::vector<Item>(10'000, {.prompt = "cat"})); });
  expect_error(ErrorCode::kLimitExceeded, "items: 80000 bytes in all, the limit is 65536",
               [] { build(std::vector<Item>(80, {.prompt = std::string(1'000, 'a')})); });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
}

TEST(BuildPasses, TakesTenThousandItemsWhenAllowed) {
  PromptLimits limits;
  limits.max_items = 10'000;
  const auto passes = build(std::vector<Item>(10'000, {.prompt = "cat"}), limits);
  std::size_t spans = 0;
  for (const PromptPass& pass : passes) {
    spans += pass.spans.size();
  }
  EXPECT_EQ(spans, 10'000U);
  EXPECT_EQ(passes.size(), 79U);  // 127 items of two tokens, [CLS] and [SEP] in each
}

TEST(BuildPasses, MessagesRepeatNothingButPlainText) {
  try {
    build({{.prompt = "\x1B[31m\u202E" + std::string(2'000, 'x')}});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_LT(message.size(), 200U);
    EXPECT_TRUE(
        std::all_of(message.begin(), message.end(), [](char c) { return c >= 0x20 && c < 0x7F; }));
  }
}

}  // namespace
}  // namespace itemcrop::text
