#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace itemcrop::model_files {

/// The model used when none is named.
inline constexpr const char* kDefaultModel = "wardrobe";

struct LocatedModel {
  std::string name;  ///< what people call it: "wardrobe", "IDEA-Research/grounding-dino-tiny"
  std::filesystem::path folder;  ///< holds config.json
  std::string origin;            ///< where it was found, for people: "the Hugging Face cache"
};

/// Folders whose subfolders are models, in order of preference, and the Hugging Face cache.
struct ModelSearch {
  struct Place {
    std::filesystem::path folder;
    std::string origin;
  };
  std::vector<Place> places;
  std::filesystem::path hugging_face_hub;  ///< holds models--OWNER--NAME; empty: none
};

using Variable = std::function<std::optional<std::string>(const std::string&)>;

/// $HF_HOME, else $XDG_CACHE_HOME/huggingface or ~/.cache/huggingface; empty: nothing tells.
std::filesystem::path hugging_face_home(const Variable& variable);

/// The program or shared library that holds this function; empty: nothing tells.
std::filesystem::path this_binary();

/// $ITEMCROP_MODELS (folders separated by ':'); `models` beside the program or in a folder above
/// it; share/itemcrop/models one or two folders above it, as of bin/itemcrop and of
/// lib/x86_64-linux-gnu/libitemcrop.so; the source tree and the install prefix of the
/// build; the Hugging Face cache ($HF_HUB_CACHE, else `hub` in hugging_face_home).
ModelSearch default_model_search(const std::filesystem::path& binary, const Variable& variable);

/// Finds a model by folder ("./tiny", any path that holds config.json), by name ("wardrobe"), or in
/// the Hugging Face cache by "OWNER/NAME", "OWNER/NAME@REVISION" or "NAME" alone; there '_' and '-'
/// are alike, so that "llmdet-tiny" finds iSEE-Laboratory/llmdet_tiny.
/// Throws Error(kNotFound): lists the places searched and the models that are there.
LocatedModel locate_model(const std::string& wanted, const ModelSearch& search);

/// Every model that can be named, first place first; a name found twice is listed once.
std::vector<LocatedModel> list_models(const ModelSearch& search);

}  // namespace itemcrop::model_files
