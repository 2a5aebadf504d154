#pragma once

#include <string>

#include "crop/result.h"
#include "image/encode.h"

namespace itemcrop::service::legacy {

/// "item1_navy_blazer_crop.jpg": bytes of the prompt other than ASCII letters, digits, '-' and '_'
/// become '_', and it is cut at 100 bytes. A service::CropName.
std::string crop_name(const std::string& stem, int number, const crop::FoundItem& item,
                      image::Format format);

}  // namespace itemcrop::service::legacy
