#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace itemcrop::model_files {

/// A published checkpoint that this program runs.
struct KnownModel {
  std::string_view name;        ///< what people may call it: "llmdet-tiny"
  std::string_view repository;  ///< on the hub: "iSEE-Laboratory/llmdet_tiny"
  std::string_view backbone;    ///< "Swin-T"
  int megabytes = 0;            ///< of its weights, fp32, in millions of bytes
  std::string_view licence;
  std::optional<double> coco;  ///< published box AP, COCO val, zero-shot; none: not published
  std::optional<double> lvis;  ///< published box AP, LVIS minival, zero-shot; none: not published
  std::string_view advice;     ///< when to take it; may be empty
};

/// All of them, the recommended one of each size first.
std::span<const KnownModel> known_models();

/// The checkpoint that `name` means: "llmdet-tiny", "iSEE-Laboratory/llmdet_tiny", or a copy under
/// another owner, "somebody/llmdet_tiny"; '_' and '-' are alike, and so are capitals and small
/// letters. nullptr: none.
const KnownModel* find_known_model(std::string_view name);

/// `name` as the hub knows it: a known model's short name becomes its repository, anything else
/// stays.
std::string repository_of(const std::string& name);

/// Whether both mean a model of one name, as find_known_model compares them; an owner that only
/// one of them has does not matter.
bool is_same_model(std::string_view a, std::string_view b);

}  // namespace itemcrop::model_files
