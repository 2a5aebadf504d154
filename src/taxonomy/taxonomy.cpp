#include "taxonomy/taxonomy.h"

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

#include "taxonomy/builtin.h"
#include "taxonomy/words.h"

namespace itemcrop::taxonomy {
namespace {

constexpr std::size_t kMaxFiles = 32;

bool is_word_of(const std::string& wanted, const std::string& name,
                const std::vector<std::string>& others) {
  return wanted == normalized(name) ||
         std::any_of(others.begin(), others.end(),
                     [&](const std::string& other) { return wanted == normalized(other); });
}

bool names_kind(const std::string& wanted, const Kind& kind) {
  return is_word_of(wanted, kind.name, kind.synonyms) ||
         std::any_of(kind.prompts.begin(), kind.prompts.end(),
                     [&](const std::string& prompt) { return wanted == normalized(prompt); });
}

template <typename Entries, typename Matches>
std::optional<std::size_t> position(const Entries& entries, const Matches& matches) {
  const auto at = std::find_if(entries.begin(), entries.end(), matches);
  if (at == entries.end()) return std::nullopt;
  return static_cast<std::size_t>(at - entries.begin());
}

/// "OWNER/NAME@REVISION" -> "NAME".
std::string_view bare_model_name(std::string_view model) {
  model = model.substr(0, model.rfind('@'));
  while (model.ends_with('/')) model.remove_suffix(1);
  const std::size_t slash = model.rfind('/');
  return slash == std::string_view::npos ? model : model.substr(slash + 1);
}

}  // namespace

Meaning Taxonomy::meaning(std::string_view word) const {
  const std::string wanted = normalized(word);
  if (wanted.empty()) return {};
  if (const auto at = position(categories, [&](const Category& category) {
        return is_word_of(wanted, category.name, category.aliases);
      })) {
    return CategoryRef{*at};
  }
  if (const auto at = position(groups, [&](const Group& group) {
        return is_word_of(wanted, group.name, group.aliases);
      })) {
    return GroupRef{*at};
  }
  if (const auto at = position(kinds, [&](const Kind& kind) { return names_kind(wanted, kind); })) {
    return KindRef{*at};
  }
  return {};
}

std::optional<std::size_t> Taxonomy::kind_within(std::string_view phrase) const {
  const std::string words = normalized(phrase);
  std::size_t start = 0;
  while (start < words.size()) {
    const std::string ending = words.substr(start);
    if (const auto at =
            position(kinds, [&](const Kind& kind) { return names_kind(ending, kind); })) {
      return at;
    }
    const std::size_t space = words.find(' ', start);
    if (space == std::string::npos) break;
    start = space + 1;
  }
  return std::nullopt;
}

bool Taxonomy::is_taught(std::string_view word) const {
  if (models.empty() || taught.empty()) return true;
  const auto any = [&](const std::vector<std::size_t>& of) {
    return std::any_of(of.begin(), of.end(), [&](std::size_t kind) { return kinds[kind].taught; });
  };
  const Meaning found = meaning(word);
  if (const auto* category = std::get_if<CategoryRef>(&found)) {
    return any(categories[category->index].kinds);
  }
  if (const auto* group = std::get_if<GroupRef>(&found)) return any(groups[group->index].kinds);
  const auto kind = kind_within(word);
  return kind && kinds[*kind].taught;
}

std::vector<std::string> Taxonomy::taught_words() const {
  std::vector<std::string> words;
  if (models.empty() || taught.empty()) return words;
  for (const Kind& kind : kinds) {
    if (kind.taught) words.insert(words.end(), kind.prompts.begin(), kind.prompts.end());
  }
  return words;
}

std::optional<std::size_t> Taxonomy::category_of(std::string_view word) const {
  const Meaning found = meaning(word);
  if (const auto* category = std::get_if<CategoryRef>(&found)) return category->index;
  if (const auto kind = kind_within(word)) return kinds[*kind].category;
  return std::nullopt;
}

Taxonomy load_taxonomy(const std::filesystem::path& path, const TaxonomyLimits& limits) {
  std::error_code problem;
  if (!std::filesystem::exists(path, problem)) {
    throw Error(ErrorCode::kNotFound, "no taxonomy file '" + path.string() + "'");
  }
  if (std::filesystem::is_directory(path, problem)) {
    throw Error(ErrorCode::kInvalidArgument,
                "taxonomy '" + path.string() + "' is a folder, not a file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(ErrorCode::kNotFound, "cannot open taxonomy file '" + path.string() + "'");
  }
  // One byte more than allowed is enough for the parser to refuse it.
  std::string text(limits.bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) {
    throw Error(ErrorCode::kIo, "cannot read taxonomy file '" + path.string() + "'");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_taxonomy(text, path.string(), limits);
}

Catalog::Catalog(std::span<const std::filesystem::path> files) {
  if (files.size() > kMaxFiles) {
    throw Error(ErrorCode::kLimitExceeded, "taxonomies must be at most " +
                                               std::to_string(kMaxFiles) + " files, got " +
                                               std::to_string(files.size()));
  }
  const auto known = [this](const std::string& name) {
    return std::any_of(taxonomies_.begin(), taxonomies_.end(),
                       [&](const Taxonomy& taxonomy) { return taxonomy.name == name; });
  };
  for (const std::filesystem::path& path : files) {
    Taxonomy taxonomy = load_taxonomy(path);
    if (known(taxonomy.name)) {
      throw Error(ErrorCode::kInvalidArgument,
                  path.string() + ": a taxonomy named '" + taxonomy.name + "' is loaded already");
    }
    taxonomies_.push_back(std::move(taxonomy));
  }
  for (const BuiltinTaxonomy& builtin : builtin_taxonomies()) {
    Taxonomy taxonomy = parse_taxonomy(builtin.text, std::string(builtin.file));
    if (!known(taxonomy.name)) taxonomies_.push_back(std::move(taxonomy));
  }
}

const Taxonomy& Catalog::named(std::string_view name) const {
  std::string names;
  for (const Taxonomy& taxonomy : taxonomies_) {
    if (taxonomy.name == name) return taxonomy;
    names += (names.empty() ? "" : ", ") + taxonomy.name;
  }
  throw Error(ErrorCode::kNotFound, "no taxonomy '" + std::string(name) + "'; there are: " + names);
}

const Taxonomy& Catalog::for_model(std::string_view model) const {
  const std::string_view bare = bare_model_name(model);
  const Taxonomy* any = nullptr;
  for (const Taxonomy& taxonomy : taxonomies_) {
    if (taxonomy.models.empty() && any == nullptr) any = &taxonomy;
    for (const std::string& name : taxonomy.models) {
      if (name == model || bare_model_name(name) == bare) return taxonomy;
    }
  }
  // A built-in taxonomy is for any model, unless a file of its name replaced it.
  return any != nullptr ? *any : taxonomies_.front();
}

}  // namespace itemcrop::taxonomy
