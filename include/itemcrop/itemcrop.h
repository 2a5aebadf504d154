#pragma once

/// Everything an application needs: itemcrop::Model, DetectRequest, Detection, crop_view, Error.

#include "itemcrop/crop.h"
#include "itemcrop/error.h"
#include "itemcrop/image.h"
#include "itemcrop/items.h"
#include "itemcrop/model.h"
#include "itemcrop/version.h"
