#include "taxonomy/plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "itemcrop/error.h"

#include "core/ascii.h"
#include "taxonomy/words.h"

namespace itemcrop::taxonomy {
namespace {

void check_threshold(const std::optional<float>& threshold) {
  if (threshold && !(*threshold >= 0 && *threshold <= 1)) {
    throw Error(ErrorCode::kInvalidArgument,
                "threshold must be between 0 and 1, got " + std::to_string(*threshold));
  }
}

/// Adds targets and items to a plan; a prompt is run once, whoever needs it.
class Planner {
 public:
  Planner(const Taxonomy& taxonomy, std::optional<float> threshold, float otherwise)
      : taxonomy_(taxonomy), overruled_(threshold.has_value()) {
    check_threshold(threshold);
    plan_.selection.second_chance = threshold.value_or(otherwise);
    plan_.scoring.threshold = plan_.selection.second_chance;
    for (const Category& category : taxonomy.categories) plan_.covers.push_back(category.covers);
  }

  Plan& plan() noexcept { return plan_; }

  std::size_t add_target(Target target) {
    plan_.targets.push_back(std::move(target));
    return plan_.targets.size() - 1;
  }

  void add_kind(std::size_t target, std::size_t index, const std::string& shown = {}) {
    const Kind& kind = taxonomy_.kinds[index];
    for (const std::string& prompt : kind.prompts) {
      PlannedItem meaning = of_kind(kind);
      if (!shown.empty()) meaning.kind = shown;
      add(prompt, std::move(meaning), target, kind.threshold);
    }
    wanted_kinds_.insert(index);
  }

  /// Words run as they are; what they end in tells layer and category: "navy blazer".
  void add_text(std::size_t target, const std::string& text,
                std::optional<std::size_t> category = std::nullopt) {
    PlannedItem meaning;
    if (const auto kind = taxonomy_.kind_within(text)) {
      meaning = of_kind(taxonomy_.kinds[*kind]);
    }
    if (category) meaning.category = category;
    meaning.kind = text;
    add(text, std::move(meaning), target, std::nullopt);
  }

  /// A caller's own item: run as it is, returned as it is.
  void add_item(const Item& item, std::optional<int> count) {
    const std::string text = tidy(item.prompt);
    if (item.distractor) return add_distractor(text);
    if (is_own_target(text)) return;
    const bool is_new = !find(text);
    Target target{text, "", text, text, item.count.value_or(count.value_or(0))};
    target.own = true;
    add_text(add_target(std::move(target)), text);
    const std::size_t at = *find(text);
    plan_.meanings[at].own = is_new;
    plan_.items[at].distractor = false;
    if (item.threshold) plan_.items[at].threshold = item.threshold;
  }

  /// Kinds that nobody asked for, then the taxonomy's own; `spare`: categories left out.
  void add_competing(const std::set<std::size_t>& spare) {
    for (std::size_t i = 0; i < taxonomy_.kinds.size(); ++i) {
      const Kind& kind = taxonomy_.kinds[i];
      const bool competes = taxonomy_.categories[kind.category].analyze &&
                            !spare.contains(kind.category) && !wanted_kinds_.contains(i);
      if (!competes) continue;
      for (const std::string& prompt : kind.prompts) add_competitor(prompt, of_kind(kind), false);
    }
    add_file_distractors();
  }

  void add_file_distractors() {
    for (const std::string& prompt : taxonomy_.competing) add_competitor(prompt, {}, true);
  }

 private:
  PlannedItem of_kind(const Kind& kind) const {
    PlannedItem meaning;
    meaning.kind = kind.name;
    meaning.layer = kind.layer;
    meaning.metallic = kind.metallic;
    meaning.category = kind.category;
    return meaning;
  }

  std::optional<std::size_t> find(const std::string& prompt) const {
    const std::string plain = normalized(prompt);
    for (std::size_t i = 0; i < plan_.items.size(); ++i) {
      if (normalized(plan_.items[i].prompt) == plain) return i;
    }
    return std::nullopt;
  }

  bool is_own_target(const std::string& text) const {
    return std::any_of(plan_.targets.begin(), plan_.targets.end(), [&](const Target& target) {
      return target.own && normalized(target.word) == normalized(text);
    });
  }

  void add_distractor(const std::string& prompt) {
    if (const auto at = find(prompt)) {
      plan_.items[*at].distractor = true;
      plan_.meanings[*at].targets.clear();
    } else {
      add_competitor(prompt, {}, true);
    }
  }

  void add(const std::string& prompt, PlannedItem meaning, std::size_t target,
           const std::optional<float>& threshold) {
    std::optional<std::size_t> at = find(prompt);
    if (!at) {
      at = plan_.items.size();
      Item item;
      item.prompt = prompt;
      if (!overruled_) item.threshold = threshold;
      plan_.items.push_back(std::move(item));
      plan_.meanings.push_back(std::move(meaning));
    }
    std::vector<std::size_t>& targets = plan_.meanings[*at].targets;
    if (std::find(targets.begin(), targets.end(), target) == targets.end()) {
      targets.push_back(target);
    }
  }

  /// A kind's boxes come back all the same, for the second chance that select() gives them.
  void add_competitor(const std::string& prompt, PlannedItem meaning, bool distractor) {
    if (find(prompt)) return;
    Item item;
    item.prompt = prompt;
    item.distractor = distractor;
    plan_.items.push_back(std::move(item));
    plan_.meanings.push_back(std::move(meaning));
  }

  const Taxonomy& taxonomy_;
  const bool overruled_;
  Plan plan_;
  std::set<std::size_t> wanted_kinds_;
};

/// Whether two words ask for one thing.
bool same_meaning(const Meaning& a, const std::string& a_text, const Meaning& b,
                  const std::string& b_text) {
  if (a.index() != b.index()) return false;
  if (const auto* category = std::get_if<CategoryRef>(&a)) {
    return category->index == std::get<CategoryRef>(b).index;
  }
  if (const auto* group = std::get_if<GroupRef>(&a)) {
    return group->index == std::get<GroupRef>(b).index;
  }
  if (const auto* kind = std::get_if<KindRef>(&a)) {
    return kind->index == std::get<KindRef>(b).index;
  }
  return normalized(a_text) == normalized(b_text);
}

/// Meaning of a word of a request. Without synonyms a kind's word is free text.
Meaning meaning_of(const Taxonomy& taxonomy, const std::string& word, bool synonyms) {
  const Meaning meaning = taxonomy.meaning(word);
  return !synonyms && std::holds_alternative<KindRef>(meaning) ? Meaning{} : meaning;
}

void check_words(std::span<const std::string> words, const CropPlanOptions& options) {
  if (words.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "categories must name at least one");
  }
  if (words.size() > options.max_categories) {
    throw Error(ErrorCode::kLimitExceeded, "categories must be at most " +
                                               std::to_string(options.max_categories) + ", got " +
                                               std::to_string(words.size()));
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (tidy(words[i]).empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "categories[" + std::to_string(i) + "] must not be blank");
    }
  }
  if (options.count && *options.count < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "count must be at least 1, got " + std::to_string(*options.count));
  }
  if (options.count_each && *options.count_each < 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "count must not be negative, got " + std::to_string(*options.count_each));
  }
}

/// Adds one word's target and items.
void add_word(Planner& planner, const Taxonomy& taxonomy, const std::string& word,
              const Meaning& meaning) {
  const std::string text = tidy(word);
  if (const auto* ref = std::get_if<CategoryRef>(&meaning)) {
    const Category& category = taxonomy.categories[ref->index];
    const std::size_t target = planner.add_target({text, category.name, category.noun, "", 1});
    for (const std::size_t kind : category.kinds) planner.add_kind(target, kind);
  } else if (const auto* group_ref = std::get_if<GroupRef>(&meaning)) {
    const Group& group = taxonomy.groups[group_ref->index];
    const std::size_t target = planner.add_target({text, group.name, group.name, "", 1});
    for (const std::size_t kind : group.kinds) planner.add_kind(target, kind);
  } else if (const auto* kind_ref = std::get_if<KindRef>(&meaning)) {
    const Kind& kind = taxonomy.kinds[kind_ref->index];
    const std::string& category = taxonomy.categories[kind.category].name;
    planner.add_kind(planner.add_target({text, category, text, "", 1}), kind_ref->index, text);
  } else {
    planner.add_text(planner.add_target({text, text, text, "", 1}), text);
  }
}

}  // namespace

Plan plan_crop(const Taxonomy& taxonomy, std::span<const std::string> words,
               const CropPlanOptions& options) {
  check_words(words, options);
  Planner planner(taxonomy, options.threshold, taxonomy.crop_threshold);
  std::vector<Meaning> meanings;  // of the targets, in order
  bool only_known = true;
  std::set<std::size_t> spare;  // categories that single kinds were asked of
  for (const std::string& word : words) {
    const Meaning meaning = meaning_of(taxonomy, word, options.synonyms);
    bool repeated = false;
    for (std::size_t i = 0; i < meanings.size() && !repeated; ++i) {
      Target& target = planner.plan().targets[i];
      repeated = same_meaning(meaning, word, meanings[i], target.word);
      if (repeated) ++target.quota;
    }
    if (repeated) continue;
    add_word(planner, taxonomy, word, meaning);
    meanings.push_back(meaning);
    only_known = only_known && !std::holds_alternative<std::monostate>(meaning);
    if (const auto* kind = std::get_if<KindRef>(&meaning)) {
      spare.insert(taxonomy.kinds[kind->index].category);
    }
  }
  if (options.count_each) {
    for (Target& target : planner.plan().targets) target.quota *= *options.count_each;
  }
  for (const Item& item : options.items) {
    planner.add_item(item, options.count_item);
    if (item.distractor) continue;
    const Meaning meaning = taxonomy.meaning(item.prompt);
    only_known = only_known && !std::holds_alternative<std::monostate>(meaning);
    if (const auto kind = taxonomy.kind_within(item.prompt)) {
      spare.insert(taxonomy.kinds[*kind].category);
    }
  }
  // A competitor would take boxes from free text whose place in the taxonomy is unknown.
  if (options.compete && only_known) planner.add_competing(spare);

  Plan plan = std::move(planner.plan());
  if (options.count_each) {
    plan.best_first = true;
    return plan;
  }
  const auto count =
      static_cast<std::size_t>(options.count.value_or(static_cast<int>(words.size())));
  plan.max_found = count;
  plan.extra = count > words.size() ? count - words.size() : 0;
  return plan;
}

Plan plan_analysis(const Taxonomy& taxonomy, const AnalysisPlanOptions& options) {
  Planner planner(taxonomy, options.threshold, taxonomy.analysis_threshold);
  for (const Category& category : taxonomy.categories) {
    if (!category.analyze) continue;
    const std::size_t target =
        planner.add_target({category.name, category.name, category.noun, "", 0});
    for (const std::size_t kind : category.kinds) planner.add_kind(target, kind);
  }
  if (!planner.plan().items.empty()) planner.add_file_distractors();
  Plan plan = std::move(planner.plan());
  plan.max_found = options.max_items;
  plan.best_first = true;
  return plan;
}

Plan plan_listed(const Taxonomy& taxonomy, std::span<const ListedItem> listed,
                 const AnalysisPlanOptions& options) {
  Planner planner(taxonomy, options.threshold, taxonomy.crop_threshold);
  for (const ListedItem& entry : listed) {
    const std::string prompt = tidy(entry.prompt);
    if (prompt.empty()) continue;
    std::vector<Target>& targets = planner.plan().targets;
    const auto known = std::find_if(targets.begin(), targets.end(), [&](const Target& target) {
      return normalized(target.word) == normalized(prompt);
    });
    if (known != targets.end()) {
      ++known->quota;
      continue;
    }
    std::optional<std::size_t> category = taxonomy.category_of(entry.category);
    if (!category) category = taxonomy.category_of(prompt);
    std::string name = tidy(entry.category);
    if (category) name = taxonomy.categories[*category].name;
    if (name.empty()) name = "other";
    planner.add_text(planner.add_target({prompt, name, prompt, tidy(entry.description), 1}), prompt,
                     category);
  }
  Plan plan = std::move(planner.plan());
  plan.max_found = options.max_items;
  plan.best_first = true;
  return plan;
}

}  // namespace itemcrop::taxonomy
