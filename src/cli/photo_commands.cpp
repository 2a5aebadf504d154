#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <system_error>

#include "itemcrop/error.h"

#include "cli/commands.h"
#include "cli/crop_writer.h"
#include "cli/interrupt_watch.h"
#include "cli/model_locator.h"
#include "cli/photo_reader.h"
#include "cli/photo_run.h"
#include "cli/photo_source.h"
#include "cli/progress.h"
#include "cli/words.h"
#include "core/atomic_file.h"
#include "core/stopwatch.h"
#include "crop/result.h"
#include "hub/known_models.h"
#include "taxonomy/model_hint.h"

namespace itemcrop::cli {
namespace {

std::string summary_line(const crop::ImageResult& photo) {
  std::string line = photo.id + ": ";
  for (std::size_t i = 0; i < photo.items.size(); ++i) {
    const crop::FoundItem& item = photo.items[i];
    const std::string& name = item.category.empty() ? item.prompt : item.description;
    line += (i > 0 ? ", " : "") + name + " " + fixed(item.detection.score, 2);
  }
  if (photo.items.empty()) line += "nothing found";
  if (!photo.items.empty() && !photo.not_found.empty()) {
    line += "; not found: " + join(photo.not_found);
  }
  return printable(line);
}

/// Gathers the results of a run and, for `crop`, has its files written. Locked, because an
/// interrupt saves what is finished from another thread.
class ResultCollector : public PhotoSink {
 public:
  ResultCollector(const PhotoArguments& arguments, const Environment& environment,
                  std::size_t photos, CropWriter* writer)
      : environment_(environment),
        writer_(writer),
        lists_photos_(writer != nullptr && !arguments.quiet && arguments.json != "-"),
        progress_(environment.err, environment.err_is_terminal && !arguments.quiet, photos) {
    result_.placement.device = to_string(arguments.detect.device);
    result_.placement.precision = to_string(arguments.detect.precision);
  }

  void ran_on(Device device, Precision precision) override {
    const std::lock_guard lock(mutex_);
    result_.placement.device = to_string(device);
    result_.placement.precision = to_string(precision);
  }

  void take(crop::ImageResult photo, const image::Image* image) override {
    const std::lock_guard lock(mutex_);
    if (writer_ != nullptr && image != nullptr && !photo.error) write(photo, *image);
    report(photo);
    any_failed_ = any_failed_ || photo.error.has_value();
    result_.images.push_back(std::move(photo));
    progress_.advance();
  }

  void set_model(const std::string& name) {
    const std::lock_guard lock(mutex_);
    result_.placement.model = name;
  }

  /// Says once, on the error stream and in the results, what a model of limited knowledge was
  /// taught, if it found none or few of the words.
  void add_hint(bool tells) {
    const std::lock_guard lock(mutex_);
    const std::string& model = result_.placement.model;
    const auto hint = taxonomy::model_hint(taxonomy::Catalog().for_model(model), model,
                                           findings_of(result_), hub::known_models().front().name);
    if (!hint) return;
    result_.hints.push_back(*hint);
    if (!tells) return;
    progress_.clear();
    environment_.err << "itemcrop: hint: " << printable(*hint) << '\n' << std::flush;
  }

  /// Calls use(result) with the photos finished so far; the progress line is taken away first.
  template <typename Use>
  void with_result(Use&& use) {
    const std::lock_guard lock(mutex_);
    progress_.clear();
    use(result_);
  }

  bool any_failed() {
    const std::lock_guard lock(mutex_);
    return any_failed_;
  }

 private:
  void write(crop::ImageResult& photo, const image::Image& image) {
    const Stopwatch watch;
    try {
      writer_->write_photo(photo, image);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kIo) throw;  // the next photo's files would fail as well
      photo.error = error;
    }
    photo.timing.encode = watch.milliseconds();
  }

  void report(const crop::ImageResult& photo) {
    if (photo.error) {
      progress_.clear();
      const std::string message = photo.error->what();
      const bool named = message.find(photo.id) != std::string::npos;
      print_error(environment_, named ? message : photo.id + ": " + message);
    } else if (lists_photos_) {
      progress_.clear();
      environment_.out << summary_line(photo) << '\n' << std::flush;
    }
  }

  const Environment& environment_;
  CropWriter* const writer_;
  const bool lists_photos_;
  std::mutex mutex_;
  Progress progress_;
  RunResult result_;
  bool any_failed_ = false;
};

void write_json(const std::string& target, const RunResult& result,
                const Environment& environment) {
  if (target != "-") {
    try {
      return write_file_atomically(target, to_json(result));
    } catch (const Error& error) {
      throw Error(ErrorCode::kIo, error.what());  // a missing folder is no missing model
    }
  }
  environment.out << to_json(result) << std::flush;
  if (!environment.out) throw Error(ErrorCode::kIo, "cannot write to standard output");
}

/// A folder that is missing is said before the work, not after it.
void check_json(const std::string& target) {
  const std::filesystem::path folder = std::filesystem::path(target).parent_path();
  std::error_code error;
  if (target != "-" && !folder.empty() && !std::filesystem::is_directory(folder, error)) {
    throw Error(ErrorCode::kIo, "--json: there is no folder '" + folder.string() + "'");
  }
}

/// Loads the model and runs every photo through it into the collector.
void run_model(const PhotoArguments& arguments, const Environment& environment,
               const std::vector<PhotoSource>& photos, ResultCollector& collector) {
  const LocatedModel located = locate_model(
      arguments.model, default_model_search(environment.executable, environment.variable));
  collector.set_model(located.name);
  const std::shared_ptr<const Model> model = environment.load_model(located.folder);
  run_photos(*model, photos, arguments, make_photo_reader(environment.in, arguments), collector);
  if (arguments.hints) collector.add_hint(!arguments.quiet);
}

void print_totals(const RunResult& result, const CropWriter& writer,
                  const Environment& environment) {
  const auto counted = [](std::size_t count, const char* noun) {
    return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
  };
  environment.out << counted(count_crops(result), "crop") << " of "
                  << counted(result.images.size(), "photo") << ": "
                  << printable(writer.overview().string()) << '\n'
                  << std::flush;
}

}  // namespace

ExitCode run_crop(const CropArguments& arguments, const Environment& environment) {
  const std::vector<PhotoSource> photos =
      find_photos(arguments.photos.inputs, arguments.photos.recursive, arguments.out);
  CropWriter writer(arguments);
  check_json(arguments.photos.json);
  ResultCollector collector(arguments.photos, environment, photos.size(), &writer);
  const auto save = [&] {
    collector.with_result([&](const RunResult& result) { writer.write_summary(result); });
  };
  const InterruptWatch watch([&] {
    try {
      save();
      print_error(environment, "interrupted; finished photos are listed in " + arguments.out);
    } catch (const std::exception& error) {
      print_error(environment, error.what());
    }
  });
  try {
    run_model(arguments.photos, environment, photos, collector);
  } catch (const Error& error) {
    // A device lost half-way must not lose the list of what was written before.
    collector.with_result([&](const RunResult& result) {
      if (!result.images.empty() && error.code() != ErrorCode::kIo) writer.write_summary(result);
    });
    throw;
  }
  save();
  collector.with_result([&](const RunResult& result) {
    if (!arguments.photos.json.empty()) write_json(arguments.photos.json, result, environment);
    if (!arguments.photos.quiet && arguments.photos.json != "-") {
      print_totals(result, writer, environment);
    }
  });
  return collector.any_failed() ? kSomePhotosFailed : kOk;
}

ExitCode run_detect(const DetectArguments& arguments, const Environment& environment) {
  const std::vector<PhotoSource> photos =
      find_photos(arguments.photos.inputs, arguments.photos.recursive);
  check_json(arguments.photos.json);
  ResultCollector collector(arguments.photos, environment, photos.size(), nullptr);
  run_model(arguments.photos, environment, photos, collector);
  collector.with_result(
      [&](const RunResult& result) { write_json(arguments.photos.json, result, environment); });
  return collector.any_failed() ? kSomePhotosFailed : kOk;
}

}  // namespace itemcrop::cli
