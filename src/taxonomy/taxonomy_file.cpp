// toml++'s own formatters are never needed and cost compile time.
#define TOML_ENABLE_FORMATTERS 0

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "core/toml.h"
#include "taxonomy/taxonomy.h"
#include "taxonomy/words.h"

namespace itemcrop::taxonomy {
namespace {

constexpr std::int64_t kFormat = 1;

std::string at(const std::string& list, std::size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

/// Reads one file. `key` is always the full path of the value in hand: "category[2].kinds[0].name".
class Reader {
 public:
  Reader(std::string file, const TaxonomyLimits& limits)
      : file_(std::move(file)), limits_(limits) {}

  Taxonomy read(std::string_view text) {
    if (text.size() > limits_.bytes) {
      throw Error(ErrorCode::kLimitExceeded, file_ + ":1: a taxonomy file must be at most " +
                                                 std::to_string(limits_.bytes) + " bytes");
    }
    const toml::table root = parse(text);
    allow(root, "",
          {"format", "name", "models", "taught", "crop_threshold", "analysis_threshold",
           "competing", "category", "group"});
    check_format(root);
    taxonomy_.name = required_word(root, "", "name");
    taxonomy_.models = words(root, "", "models");
    taxonomy_.taught = optional_word(root, "", "taught").value_or("");
    taxonomy_.competing = prompts(root, "", "competing");
    taxonomy_.crop_threshold =
        threshold(root, "", "crop_threshold").value_or(taxonomy_.crop_threshold);
    taxonomy_.analysis_threshold =
        threshold(root, "", "analysis_threshold").value_or(taxonomy_.analysis_threshold);
    read_categories(root);
    resolve_covers(root);
    read_groups(root);
    return std::move(taxonomy_);
  }

 private:
  [[noreturn]] void fail(const toml::source_region& where, const std::string& message,
                         ErrorCode code = ErrorCode::kInvalidArgument) const {
    throw Error(code, file_ + ":" + std::to_string(where.begin.line) + ": " + message);
  }
  [[noreturn]] void fail(const toml::node& node, const std::string& message,
                         ErrorCode code = ErrorCode::kInvalidArgument) const {
    fail(node.source(), message, code);
  }

  toml::table parse(std::string_view text) const {
    try {
      return toml::parse(text, file_);
    } catch (const toml::parse_error& error) {
      fail(error.source(), "not TOML: " + std::string(error.description()));
    } catch (const std::logic_error&) {
      throw Error(ErrorCode::kInvalidArgument, file_ + ": not TOML");
    }
  }

  void allow(const toml::table& table, const std::string& prefix,
             std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, node] : table) {
      if (std::find(keys.begin(), keys.end(), key.str()) != keys.end()) continue;
      std::string known;
      for (const std::string_view name : keys) {
        known += (known.empty() ? "" : ", ") + std::string(name);
      }
      fail(key.source(),
           "unknown key '" + prefix + printable(key.str()) + "'; there are: " + known);
    }
  }

  void check_format(const toml::table& root) const {
    const toml::node* node = root.get("format");
    if (node == nullptr) fail(root, "missing key 'format' (format = 1)");
    if (node->value_exact<std::int64_t>() != kFormat) fail(*node, "format must be 1");
  }

  /// Text for a message: bytes that could steer a terminal are left out, and long text is cut.
  static std::string printable(std::string_view text) {
    std::string shown;
    for (const char c : text.substr(0, 60)) {
      shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
    return shown;
  }

  std::string word(const toml::node& node, const std::string& key) const {
    const std::optional<std::string> value = node.value_exact<std::string>();
    if (!value) fail(node, key + " must be a string");
    if (std::any_of(value->begin(), value->end(),
                    [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
      fail(node, key + " must not hold control characters");
    }
    std::string text = tidy(*value);
    if (text.empty()) fail(node, key + " must not be empty");
    if (text.size() > limits_.word_length) {
      fail(node,
           key + " must be at most " + std::to_string(limits_.word_length) + " bytes, got " +
               std::to_string(text.size()),
           ErrorCode::kLimitExceeded);
    }
    return text;
  }

  std::string required_word(const toml::table& table, const std::string& prefix,
                            const std::string& name) const {
    const toml::node* node = table.get(name);
    if (node == nullptr) fail(table, "missing key '" + prefix + name + "'");
    return word(*node, prefix + name);
  }

  std::optional<std::string> optional_word(const toml::table& table, const std::string& prefix,
                                           const std::string& name) const {
    const toml::node* node = table.get(name);
    if (node == nullptr) return std::nullopt;
    return word(*node, prefix + name);
  }

  /// The array under a key; null if the key is absent.
  const toml::array* array(const toml::table& table, const std::string& key,
                           const std::string& name, std::size_t limit) const {
    const toml::node* node = table.get(name);
    if (node == nullptr) return nullptr;
    const toml::array* values = node->as_array();
    if (values == nullptr) fail(*node, key + " must be a list");
    if (values->empty()) fail(*node, key + " must not be empty");
    if (values->size() > limit) {
      fail(*node,
           key + " must have at most " + std::to_string(limit) + " entries, got " +
               std::to_string(values->size()),
           ErrorCode::kLimitExceeded);
    }
    return values;
  }

  std::vector<std::string> words(const toml::table& table, const std::string& prefix,
                                 const std::string& name) const {
    std::vector<std::string> list;
    const std::string key = prefix + name;
    const toml::array* values = array(table, key, name, limits_.words);
    if (values == nullptr) return list;
    for (std::size_t i = 0; i < values->size(); ++i) {
      const toml::node& node = *values->get(i);
      std::string text = word(node, at(key, i));
      const std::string plain = normalized(text);
      if (std::any_of(list.begin(), list.end(),
                      [&](const std::string& other) { return normalized(other) == plain; })) {
        fail(node, at(key, i) + " repeats '" + text + "'");
      }
      list.push_back(std::move(text));
    }
    return list;
  }

  std::vector<std::string> prompts(const toml::table& table, const std::string& prefix,
                                   const std::string& name) {
    std::vector<std::string> list = words(table, prefix, name);
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].find_first_of(".?") != std::string::npos) {
        fail(*table.get(name)->as_array()->get(i),
             at(prefix + name, i) + " must not hold '.' or '?', which separate prompts");
      }
    }
    count_prompts(list.size(), table);
    return list;
  }

  void count_prompts(std::size_t more, const toml::table& table) {
    prompts_ += more;
    if (prompts_ > limits_.prompts) {
      fail(table, "a taxonomy must have at most " + std::to_string(limits_.prompts) + " prompts",
           ErrorCode::kLimitExceeded);
    }
  }

  std::optional<float> threshold(const toml::table& table, const std::string& prefix,
                                 const std::string& name) const {
    const toml::node* node = table.get(name);
    if (node == nullptr) return std::nullopt;
    const std::optional<double> value = node->is_number() ? node->value<double>() : std::nullopt;
    if (!value) fail(*node, prefix + name + " must be a number");
    if (!(*value >= 0 && *value <= 1)) {
      fail(*node, prefix + name + " must be between 0 and 1, got " + std::to_string(*value));
    }
    return static_cast<float>(*value);
  }

  bool flag(const toml::table& table, const std::string& prefix, const std::string& name,
            bool otherwise) const {
    const toml::node* node = table.get(name);
    if (node == nullptr) return otherwise;
    const std::optional<bool> value = node->value_exact<bool>();
    if (!value) fail(*node, prefix + name + " must be true or false");
    return *value;
  }

  const toml::table& table_in(const toml::node& node, const std::string& key) const {
    const toml::table* table = node.as_table();
    if (table == nullptr) fail(node, key + " must be a table");
    return *table;
  }

  /// Remembers what a word stands for. A kind may carry its own category's word.
  void claim(std::map<std::string, std::string>& known, const std::string& text,
             const std::string& owner, const toml::node& where, const std::string& key) const {
    const auto [entry, added] = known.emplace(normalized(text), owner);
    if (!added) {
      fail(where, key + ": '" + text + "' already means " + entry->second);
    }
  }

  void read_categories(const toml::table& root) {
    const toml::array* list = array(root, "category", "category", limits_.categories);
    if (list == nullptr) fail(root, "missing key 'category': there must be at least one");
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string key = at("category", i);
      read_category(table_in(*list->get(i), key), key + ".", i);
    }
    // Only now are all words of categories known.
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string prefix = at("category", i) + ".";
      const toml::table& table = *list->get(i)->as_table();
      for (const std::size_t kind : taxonomy_.categories[i].kinds) claim_kind(table, prefix, kind);
    }
  }

  void read_category(const toml::table& table, const std::string& prefix, std::size_t index) {
    allow(table, prefix, {"name", "noun", "aliases", "covers", "analyze", "kinds"});
    Category category;
    category.name = required_word(table, prefix, "name");
    category.noun = optional_word(table, prefix, "noun").value_or(category.name);
    category.aliases = words(table, prefix, "aliases");
    category.analyze = flag(table, prefix, "analyze", true);
    const std::string owner = "category '" + category.name + "'";
    claim(request_words_, category.name, owner, *table.get("name"), prefix + "name");
    for (std::size_t i = 0; i < category.aliases.size(); ++i) {
      claim(request_words_, category.aliases[i], owner, *table.get("aliases")->as_array()->get(i),
            at(prefix + "aliases", i));
    }
    const toml::array* kinds = array(table, prefix + "kinds", "kinds", limits_.kinds);
    if (kinds == nullptr) fail(table, "missing key '" + prefix + "kinds'");
    for (std::size_t i = 0; i < kinds->size(); ++i) {
      if (taxonomy_.kinds.size() == limits_.kinds) {
        fail(*kinds->get(i),
             "a taxonomy must have at most " + std::to_string(limits_.kinds) + " kinds",
             ErrorCode::kLimitExceeded);
      }
      category.kinds.push_back(taxonomy_.kinds.size());
      taxonomy_.kinds.push_back(read_kind(*kinds->get(i), at(prefix + "kinds", i), index));
    }
    taxonomy_.categories.push_back(std::move(category));
  }

  /// A table, or the name alone.
  Kind read_kind(const toml::node& node, const std::string& key, std::size_t category) {
    Kind kind;
    kind.category = category;
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      kind.name = word(node, key);
    } else {
      const std::string prefix = key + ".";
      allow(*table, prefix,
            {"name", "prompts", "synonyms", "threshold", "layer", "metallic", "taught"});
      kind.name = required_word(*table, prefix, "name");
      kind.prompts = prompts(*table, prefix, "prompts");
      kind.synonyms = words(*table, prefix, "synonyms");
      kind.threshold = threshold(*table, prefix, "threshold");
      kind.layer = optional_word(*table, prefix, "layer").value_or("");
      kind.metallic = flag(*table, prefix, "metallic", false);
      kind.taught = flag(*table, prefix, "taught", true);
    }
    if (kind.prompts.empty()) {
      if (kind.name.find_first_of(".?") != std::string::npos) {
        fail(node, key + ": a name with '.' or '?' cannot be a prompt; give it prompts");
      }
      if (++prompts_ > limits_.prompts) {
        fail(node, "a taxonomy must have at most " + std::to_string(limits_.prompts) + " prompts",
             ErrorCode::kLimitExceeded);
      }
      kind.prompts = {kind.name};
    }
    return kind;
  }

  void claim_kind(const toml::table& category, const std::string& prefix, std::size_t index) {
    const Kind& kind = taxonomy_.kinds[index];
    const std::size_t place = index - taxonomy_.categories[kind.category].kinds.front();
    const toml::node& node = *category.get("kinds")->as_array()->get(place);
    const std::string key = at(prefix + "kinds", place);
    std::vector<std::string> own = {kind.name};
    const auto add = [&](const std::string& text) {
      const std::string plain = normalized(text);
      if (std::none_of(own.begin(), own.end(),
                       [&](const std::string& other) { return normalized(other) == plain; })) {
        own.push_back(text);
      }
    };
    for (const std::string& prompt : kind.prompts) add(prompt);
    for (const std::string& synonym : kind.synonyms) add(synonym);
    const std::string category_owner =
        "category '" + taxonomy_.categories[kind.category].name + "'";
    for (const std::string& text : own) {
      const auto request = request_words_.find(normalized(text));
      if (request != request_words_.end() && request->second != category_owner) {
        fail(node, key + ": '" + text + "' already means " + request->second);
      }
      claim(kind_words_, text, "kind '" + kind.name + "'", node, key);
    }
  }

  void resolve_covers(const toml::table& root) {
    const toml::array& list = *root.get("category")->as_array();
    for (std::size_t i = 0; i < taxonomy_.categories.size(); ++i) {
      const toml::table& table = *list.get(i)->as_table();
      const std::string prefix = at("category", i) + ".";
      const std::vector<std::string> names = words(table, prefix, "covers");
      for (std::size_t j = 0; j < names.size(); ++j) {
        const toml::node& node = *table.get("covers")->as_array()->get(j);
        const auto found = std::find_if(
            taxonomy_.categories.begin(), taxonomy_.categories.end(),
            [&](const Category& other) { return normalized(other.name) == normalized(names[j]); });
        const auto index = static_cast<std::size_t>(found - taxonomy_.categories.begin());
        if (found == taxonomy_.categories.end() || index == i) {
          fail(node, at(prefix + "covers", j) + ": '" + names[j] + "' is no other category");
        }
        taxonomy_.categories[i].covers.push_back(index);
      }
    }
  }

  void read_groups(const toml::table& root) {
    const toml::array* list = array(root, "group", "group", limits_.categories);
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string key = at("group", i);
      read_group(table_in(*list->get(i), key), key + ".");
    }
  }

  void read_group(const toml::table& table, const std::string& prefix) {
    allow(table, prefix, {"name", "aliases", "kinds"});
    Group group;
    group.name = required_word(table, prefix, "name");
    group.aliases = words(table, prefix, "aliases");
    const std::vector<std::string> kinds = words(table, prefix, "kinds");
    if (kinds.empty()) fail(table, "missing key '" + prefix + "kinds'");
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      const auto found = std::find_if(
          taxonomy_.kinds.begin(), taxonomy_.kinds.end(),
          [&](const Kind& kind) { return normalized(kind.name) == normalized(kinds[i]); });
      if (found == taxonomy_.kinds.end()) {
        fail(*table.get("kinds")->as_array()->get(i),
             at(prefix + "kinds", i) + ": there is no kind '" + kinds[i] + "'");
      }
      group.kinds.push_back(static_cast<std::size_t>(found - taxonomy_.kinds.begin()));
    }
    claim_group(table, prefix, "name", group.name, group);
    for (std::size_t i = 0; i < group.aliases.size(); ++i) {
      claim_group(*table.get("aliases")->as_array()->get(i), at(prefix + "aliases", i),
                  group.aliases[i], group);
    }
    taxonomy_.groups.push_back(std::move(group));
  }

  void claim_group(const toml::table& table, const std::string& prefix, const std::string& name,
                   const std::string& text, const Group& group) {
    claim_group(*table.get(name), prefix + name, text, group);
  }

  /// A group may carry a word of one of its own kinds.
  void claim_group(const toml::node& node, const std::string& key, const std::string& text,
                   const Group& group) {
    claim(request_words_, text, "group '" + group.name + "'", node, key);
    const auto kind = kind_words_.find(normalized(text));
    if (kind == kind_words_.end()) return;
    const bool own = std::any_of(group.kinds.begin(), group.kinds.end(), [&](std::size_t index) {
      return kind->second == "kind '" + taxonomy_.kinds[index].name + "'";
    });
    if (!own) fail(node, key + ": '" + text + "' already means " + kind->second);
  }

  const std::string file_;
  const TaxonomyLimits limits_;
  Taxonomy taxonomy_;
  std::map<std::string, std::string> request_words_;  // of categories and groups -> their owner
  std::map<std::string, std::string> kind_words_;     // of kinds -> their owner
  std::size_t prompts_ = 0;
};

}  // namespace

Taxonomy parse_taxonomy(std::string_view text, const std::string& file,
                        const TaxonomyLimits& limits) {
  return Reader(file, limits).read(text);
}

}  // namespace itemcrop::taxonomy
