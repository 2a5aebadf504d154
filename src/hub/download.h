#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "hub/cache.h"
#include "hub/hub_api.h"

namespace itemcrop::hub {

/// Brings a content into the cache, hash-checked, unless it is there; goes on from what an
/// interrupted download left. `done` is called with the bytes that are here.
void download(const HubApi& api, const CachedModel& cached, const RemoteFile& file,
              const PullOptions& options, const std::function<void(std::uint64_t)>& done,
              const std::stop_token& stop);

}  // namespace itemcrop::hub
