#pragma once

#include <filesystem>
#include <memory>

#include "service/requests/settings.h"
#include "store/local_store.h"
#include "store/store.h"

namespace itemcrop::service {

struct Stores {
  std::shared_ptr<store::Store> store;       ///< null: crops are answered as base64
  std::shared_ptr<store::LocalStore> local;  ///< the same, if this service serves its files
};

/// The store that the settings name. Throws Error.
Stores open_stores(const Settings& settings, const std::filesystem::path& data_folder);

}  // namespace itemcrop::service
