#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "service/requests/settings.h"
#include "store/local_store.h"
#include "store/store.h"

namespace itemcrop::service {

struct Stores {
  std::shared_ptr<store::Store> store;       ///< null: crops are answered as base64
  std::shared_ptr<store::LocalStore> local;  ///< the same, if this service serves its files
};

/// getenv.
using Variable = std::function<std::optional<std::string>(const std::string&)>;

/// The store that the settings name. `variable` tells where a bucket's keys come from, if not from
/// the settings. Throws Error.
Stores open_stores(const Settings& settings, const std::filesystem::path& data_folder,
                   const Variable& variable);

/// Before the service starts: throws Error(kInvalidArgument), which names the settings, for a
/// bucket that refuses. One that cannot be reached may come up later.
void check_bucket(const Settings& settings, const Stores& stores);

/// What to look at while crops cannot be stored.
std::string store_advice(const Settings& settings);

}  // namespace itemcrop::service
