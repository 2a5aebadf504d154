#pragma once

/// The version of these headers, the library and the program. CMakeLists.txt reads it here.
#define ITEMCROP_VERSION "0.2.0"
#define ITEMCROP_VERSION_MAJOR 0
#define ITEMCROP_VERSION_MINOR 2
#define ITEMCROP_VERSION_PATCH 0
