// Finds items in a photo and crops them: detect MODEL PHOTO.ppm ITEM...
// MODEL is a name ("wardrobe") or a folder. Crops are written to the working directory as
// crop1.ppm, ...
//
// The engine takes pixels and has no image decoder, so this reads and writes the simplest format
// there is; `convert photo.jpg photo.ppm` makes one.

#include <cstddef>
#include <cstdint>
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

void write_ppm(const std::string& path, const itemcrop::ImageView& image) {
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << image.width << ' ' << image.height << "\n255\n";
  for (int row = 0; row < image.height; ++row) {  // a crop's rows are as far apart as the photo's
    const std::uint8_t* pixels = image.pixels + row * image.stride();
    file.write(reinterpret_cast<const char*>(pixels), std::streamsize{3} * image.width);
  }
  if (!file) throw itemcrop::Error(itemcrop::ErrorCode::kIo, path + " cannot be written.");
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
    int number = 0;
    for (const itemcrop::Detection& found : result.detections) {
      const std::string path = "crop" + std::to_string(++number) + ".ppm";
      write_ppm(path, itemcrop::crop_view(request.image, found.box));
      std::printf("%s %.2f [%.0f %.0f %.0f %.0f] %s\n", found.item.c_str(), found.score,
                  found.box.x0, found.box.y0, found.box.x1, found.box.y1, path.c_str());
    }
    for (const std::string& item : result.not_found) std::printf("no %s\n", item.c_str());
  } catch (const itemcrop::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
