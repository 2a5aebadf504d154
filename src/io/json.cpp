#include "io/json.h"

#include <unordered_set>
#include <vector>

#include "itemcrop/error.h"

namespace itemcrop::io {
namespace {

constexpr int kMaxDepth = 64;

[[noreturn]] void fail(const std::string& origin, const std::string& what) {
  throw Error(ErrorCode::kCorruptModel, origin + ": " + what);
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text, const std::string& origin) {
  using nlohmann::json;
  std::vector<std::unordered_set<std::string>> keys;  // of the objects being read, by depth
  const auto check = [&](int depth, json::parse_event_t event, const json& value) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth >= kMaxDepth) {
        fail(origin, "nested deeper than " + std::to_string(kMaxDepth));
      }
      keys.resize(static_cast<std::size_t>(depth) + 2);
      keys.back().clear();
    } else if (event == json::parse_event_t::key) {
      const auto& name = value.get_ref<const std::string&>();
      if (!keys[static_cast<std::size_t>(depth)].insert(name).second) {
        fail(origin, "key '" + name.substr(0, 200) + "' occurs twice");
      }
    }
    return true;
  };
  json document;
  try {
    document = json::parse(text.begin(), text.end(), check);
  } catch (const json::parse_error& error) {
    fail(origin, "not valid JSON (byte " + std::to_string(error.byte) + ")");
  } catch (const json::out_of_range&) {
    fail(origin, "a number is too large for a double");
  }
  if (!document.is_object()) {
    fail(origin, "not a JSON object");
  }
  return document;
}

}  // namespace itemcrop::io
