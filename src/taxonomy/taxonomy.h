#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "itemcrop/error.h"

namespace itemcrop::taxonomy {

/// One kind of thing within a category: "t-shirt" in "tops".
struct Kind {
  std::string name;                     ///< display words, singular: "t-shirt", "pair of jeans"
  std::vector<std::string> prompts;     ///< words run on the detector; never empty
  std::vector<std::string> synonyms;    ///< what people write for it: "tee"
  std::optional<float> threshold = {};  ///< in [0, 1]; replaces the taxonomy's for its prompts
  /// Kinds of different layers may be worn over each other, so one inside the other is no duplicate
  /// ("outer": a jacket over a shirt). Empty: the layer of all kinds that name none.
  std::string layer;
  bool metallic = false;     ///< jewellery: yellow is called gold and grey silver
  bool taught = true;        ///< false: none of Taxonomy::models was shown any
  std::size_t category = 0;  ///< index into Taxonomy::categories
};

/// What a found thing is filed under.
struct Category {
  std::string name;                  ///< "tops"
  std::string noun;                  ///< display word, singular, where no kind is known: "top"
  std::vector<std::string> aliases;  ///< other words a request may use: "top"
  std::vector<std::size_t> kinds;    ///< indices into Taxonomy::kinds; never empty
  /// Categories whose items are parts of this one's: a box of theirs mostly inside a better box of
  /// this one is dropped (a dress covers tops and bottoms). Indices into Taxonomy::categories.
  std::vector<std::size_t> covers;
  bool analyze = true;  ///< whether an analysis looks for it
};

/// A word for kinds that belong together without being a category: "outerwear". Requests may use
/// it; analyses do not.
struct Group {
  std::string name;
  std::vector<std::string> aliases;
  std::vector<std::size_t> kinds;  ///< indices into Taxonomy::kinds; never empty
};

/// What a user's word means: an index into the vector of that type.
struct CategoryRef {
  std::size_t index = 0;
};
struct GroupRef {
  std::size_t index = 0;
};
struct KindRef {
  std::size_t index = 0;
};
using Meaning = std::variant<std::monostate, CategoryRef, GroupRef, KindRef>;

/// A taxonomy file, checked. Plain data: copy it, share it const.
struct Taxonomy {
  std::string name;                    ///< "fashion"
  std::vector<std::string> models;     ///< model names it was made for; empty: any
  std::string taught;                  ///< all that those models know, for people; empty: anything
  float crop_threshold = 0.15F;        ///< box threshold when categories are asked for
  float analysis_threshold = 0.25F;    ///< box threshold when everything is looked for
  std::vector<std::string> competing;  ///< prompts that are scored and never returned
  std::vector<Category> categories;    ///< never empty
  std::vector<Kind> kinds;             ///< of all categories, in the file's order
  std::vector<Group> groups;

  /// What a word means: a category's name or alias, a group's, then a kind's name, synonym or
  /// prompt. Case and white space do not matter; no word means two things. std::monostate: unknown.
  Meaning meaning(std::string_view word) const;
  /// The kind that a phrase ends in: "navy blazer" ends in "blazer". The longest match wins.
  std::optional<std::size_t> kind_within(std::string_view phrase) const;
  /// Whether the models it was made for may find what a word means: they were taught a kind of it,
  /// or the kind that the phrase ends in. True if the taxonomy does not say what they were taught.
  bool is_taught(std::string_view word) const;
  /// The prompts of the kinds that they were taught; empty if it does not say so.
  std::vector<std::string> taught_words() const;
  /// The category that a word belongs to, directly or by the kind it ends in.
  std::optional<std::size_t> category_of(std::string_view word) const;
};

/// What a taxonomy file may hold; more is an error.
struct TaxonomyLimits {
  std::size_t bytes = 262'144;
  std::size_t categories = 100;
  std::size_t kinds = 500;
  std::size_t words = 64;         ///< in any one list
  std::size_t word_length = 100;  ///< bytes
  std::size_t prompts = 1000;     ///< of the whole file
};

/// Reads a TOML taxonomy; docs/taxonomies.md describes the keys. `file` is only used in messages.
/// Throws Error(kInvalidArgument, or kLimitExceeded) whose message starts with "FILE:LINE: " and
/// names the key: syntax, unknown keys, wrong types, duplicates, empty lists or words, thresholds
/// outside [0, 1], words with two meanings, `covers` and `kinds` that name nothing.
Taxonomy parse_taxonomy(std::string_view text, const std::string& file,
                        const TaxonomyLimits& limits = {});

/// Reads a file. Throws as parse_taxonomy does, and Error(kNotFound, kIo).
Taxonomy load_taxonomy(const std::filesystem::path& path, const TaxonomyLimits& limits = {});

/// The taxonomies that may be used, by name. The built-in ones ("fashion" for open-vocabulary
/// models, "wardrobe" for the embedded one) are part of the program, so nothing has to be found on
/// disk. Const after construction; share it.
class Catalog {
 public:
  /// The built-in ones and `files` (at most 32). A file whose name is a built-in one's replaces it;
  /// among files a repeated name is an error. Throws as load_taxonomy does.
  explicit Catalog(std::span<const std::filesystem::path> files = {});

  /// In order: files first, then built-in ones.
  std::span<const Taxonomy> all() const noexcept { return taxonomies_; }

  /// Throws Error(kNotFound) that lists the names.
  const Taxonomy& named(std::string_view name) const;

  /// The first one made for this model (its name, "OWNER/NAME" or the part behind the slash), else
  /// the first one made for any.
  const Taxonomy& for_model(std::string_view model) const;

 private:
  std::vector<Taxonomy> taxonomies_;
};

}  // namespace itemcrop::taxonomy
