#include <map>
#include <unordered_map>

#include "itemcrop/error.h"

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace itemcrop::io {
namespace {

constexpr std::size_t kMaxIndexBytes = 16 << 20;
constexpr std::size_t kMaxShards = 256;

/// Several safetensors files that the index declares to be one checkpoint.
class ShardedSource final : public TensorSource {
 public:
  explicit ShardedSource(const std::filesystem::path& index) : origin_(index.string()) {
    const nlohmann::json document = parse_json_object(read_file(index, kMaxIndexBytes), origin_);
    const auto map = document.find("weight_map");
    if (map == document.end() || !map->is_object()) {
      fail("weight_map must be an object");
    }
    std::map<std::string, std::size_t> shard_of_file;
    for (const auto& [tensor, file] : map->items()) {
      if (!file.is_string()) {
        fail("weight_map." + tensor + " must be a file name");
      }
      const auto& name = file.get_ref<const std::string&>();
      const auto [entry, added] = shard_of_file.emplace(name, shards_.size());
      if (added) {
        open_shard(index.parent_path(), name);
      }
      add(tensor, entry->second, name);
    }
    check_nothing_unlisted();
  }

  const StoredTensor* find(std::string_view name) const override {
    const auto found = places_.find(name);
    return found == places_.end() ? nullptr : found->second.tensor;
  }

  std::vector<std::string_view> names() const override {
    std::vector<std::string_view> names;
    for (const auto& shard : shards_) {
      const std::vector<std::string_view> part = shard->names();
      names.insert(names.end(), part.begin(), part.end());
    }
    return names;
  }

  void release_pages(const StoredTensor& tensor) const override {
    const auto found = places_.find(tensor.name);
    if (found != places_.end()) {
      shards_[found->second.shard]->release_pages(tensor);
    }
  }

  const std::string& origin() const noexcept override { return origin_; }

 private:
  struct Place {
    std::size_t shard;
    const StoredTensor* tensor;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kCorruptModel, origin_ + ": " + what);
  }

  void open_shard(const std::filesystem::path& folder, const std::string& name) {
    // The index is data from elsewhere: it may name files beside it and nothing more.
    if (name.find('/') != std::string::npos || !name.ends_with(".safetensors")) {
      fail("'" + name.substr(0, 200) + "' is not the name of a .safetensors file beside the index");
    }
    if (shards_.size() == kMaxShards) {
      fail("more than " + std::to_string(kMaxShards) + " shards");
    }
    shards_.push_back(open_safetensors(folder / name));
  }

  void add(const std::string& tensor, std::size_t shard, const std::string& file) {
    const StoredTensor* stored = shards_[shard]->find(tensor);
    if (stored == nullptr) {
      fail("tensor '" + tensor + "' is not in " + file);
    }
    places_.emplace(stored->name, Place{shard, stored});
  }

  void check_nothing_unlisted() const {
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      for (const std::string_view name : shards_[i]->names()) {
        const auto found = places_.find(name);
        if (found == places_.end() || found->second.shard != i) {
          fail("tensor '" + std::string(name) + "' of " + shards_[i]->origin() +
               " is not where weight_map says");
        }
      }
    }
  }

  std::string origin_;
  std::vector<std::unique_ptr<TensorSource>> shards_;
  std::unordered_map<std::string_view, Place> places_;
};

}  // namespace

std::unique_ptr<TensorSource> open_checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  if (!std::filesystem::exists(single, ignored) && std::filesystem::exists(index, ignored)) {
    return std::make_unique<ShardedSource>(index);
  }
  return open_safetensors(single);
}

}  // namespace itemcrop::io
