#pragma once

#include <span>
#include <string_view>

namespace itemcrop::service {

/// A page, script or document that the program carries; src/service/web/files.cmake lists them.
struct EmbeddedFile {
  std::string_view route;         ///< "/ui/app.js"
  std::string_view content_type;  ///< "text/javascript; charset=utf-8"
  std::string_view etag;          ///< strong and quoted; changes with the content
  std::string_view content;
};

std::span<const EmbeddedFile> embedded_files();

}  // namespace itemcrop::service
