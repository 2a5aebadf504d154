#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "itemcrop/model.h"

#include "cli/item_list.h"
#include "crop/request.h"
#include "crop/search.h"
#include "fetch/fetch.h"
#include "image/crop.h"
#include "image/decode.h"
#include "image/limits.h"
#include "model_files/model_locator.h"
#include "service/requests/settings.h"

namespace itemcrop::cli {

/// What `crop` and `detect` share.
struct PhotoArguments {
  std::vector<std::string> inputs;
  bool recursive = false;
  ItemWords item_words;
  crop::Request request;  ///< items or categories, and options
  crop::Search search;    ///< what the request becomes for the model
  std::string model = model_files::kDefaultModel;
  DetectOptions detect;
  int batch = 1;  ///< photos a model call
  image::DecodeOptions decode;
  image::Limits limits;
  fetch::FetchOptions fetch;  ///< for photos given as URLs; max_bytes is that of limits
  std::string json;           ///< file, "-" for standard output, empty: none
  bool quiet = false;
  bool hints = true;  ///< say what the model was taught where it finds little
};

struct CropArguments {
  PhotoArguments photos;
  std::string out = "itemcrop-out";
  image::CropOptions crop;
  bool annotated = true;
  bool contact_sheet = true;
};

struct DetectArguments {
  PhotoArguments photos;
};

struct InfoArguments {
  std::string model = model_files::kDefaultModel;
  bool json = false;
};

struct VerifyArguments {
  std::string model = model_files::kDefaultModel;
  std::string photo;  ///< empty: the model's own sample, where it has one
  DetectOptions detect;
  bool json = false;
};

struct DoctorArguments {
  std::string model = model_files::kDefaultModel;
  int threads = 0;
  bool json = false;
};

struct ServeArguments {
  std::vector<std::pair<const service::Setting*, std::string>> flags;
  std::string config;  ///< TOML file; empty: none
  bool print_config = false;
};

struct ModelsArguments {
  std::string action;             ///< "pull" or "list"
  std::string model;              ///< OWNER/NAME, or a known model's name; pull only
  std::string revision = "main";  ///< pull only
  bool known = false;             ///< list only: those that may be pulled
  bool json = false;
  bool quiet = false;
};

struct CompletionArguments {
  std::string shell;  ///< "bash", "zsh" or "fish"
};

using Command = std::variant<CropArguments, DetectArguments, InfoArguments, VerifyArguments,
                             DoctorArguments, ServeArguments, ModelsArguments, CompletionArguments>;

}  // namespace itemcrop::cli
