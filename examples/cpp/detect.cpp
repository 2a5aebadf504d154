// Finds items in an image: detect MODEL PHOTO.ppm ITEM...
//
// The engine takes pixels and has no image decoder, so this reads the simplest format there is;
// `convert photo.jpg photo.ppm` makes one.

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <itemcrop/itemcrop.h>

namespace {

struct Photo {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;  // height x width x 3
};

Photo read_ppm(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int maximum = 0;
  Photo photo;
  file >> magic >> photo.width >> photo.height >> maximum;
  file.get();
  if (!file || magic != "P6" || maximum != 255 || photo.width < 1 || photo.height < 1) {
    throw itemcrop::Error(itemcrop::ErrorCode::kUnsupportedImage,
                          std::string(path) + " is not a binary 8-bit PPM image.");
  }
  photo.pixels.resize(std::size_t{3} * photo.width * photo.height);
  file.read(reinterpret_cast<char*>(photo.pixels.data()),
            static_cast<std::streamsize>(photo.pixels.size()));
  if (!file) {
    throw itemcrop::Error(itemcrop::ErrorCode::kCorruptImage, std::string(path) + " is cut short.");
  }
  return photo;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s MODEL PHOTO.ppm ITEM...\n", argv[0]);
    return 2;
  }
  try {
    const auto model = itemcrop::Model::load(argv[1]);  // share it between threads
    const Photo photo = read_ppm(argv[2]);

    itemcrop::DetectRequest request;
    request.image = {photo.pixels.data(), photo.width, photo.height};
    for (int i = 3; i < argc; ++i) request.items.push_back({.prompt = argv[i]});

    const itemcrop::DetectResult result = model->detect(request);
    for (const itemcrop::Detection& found : result.detections) {
      std::printf("%s %.2f [%.0f %.0f %.0f %.0f]\n", found.item.c_str(), found.score, found.box.x0,
                  found.box.y0, found.box.x1, found.box.y1);
    }
    for (const std::string& item : result.not_found) std::printf("no %s\n", item.c_str());
  } catch (const itemcrop::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
