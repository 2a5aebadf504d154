#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <system_error>

#include "itemcrop/error.h"
#include "itemcrop/version.h"

#include "cli/commands.h"
#include "cli/crop_writer.h"
#include "cli/interrupt_watch.h"
#include "cli/output_folder.h"
#include "cli/photo_reader.h"
#include "cli/photo_run.h"
#include "cli/photo_source.h"
#include "cli/progress.h"
#include "cli/results.h"
#include "cli/words.h"
#include "core/atomic_file.h"
#include "core/stopwatch.h"
#include "core/words.h"
#include "crop/hints.h"
#include "crop/result.h"
#include "model_files/known_models.h"
#include "model_files/model_locator.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::cli {
namespace {

/// Of a list that a line shows, so that it stays a line.
constexpr std::size_t kMostNames = 4;

std::string summary_line(const crop::ImageResult& photo) {
  std::vector<std::string> found;
  for (const crop::FoundItem& item : photo.items) {
    const std::string& name = item.category.empty() ? item.prompt : item.description;
    found.push_back(name + " " + fixed(item.detection.score, 2));
  }
  std::string line = photo.id + ": ";
  line += found.empty() ? "nothing found" : join_some(found, kMostNames);
  if (!found.empty() && !photo.not_found.empty()) {
    line += "; not found: " + join_some(photo.not_found, kMostNames);
  }
  return printable(line);
}

void print_note(const Environment& environment, std::string_view note) {
  environment.err << "itemcrop: note: " << printable(note) << '\n' << std::flush;
}

/// Gathers the results of a run and, for `crop`, has its files written. Locked, because an
/// interrupt saves what is finished from another thread.
class ResultCollector : public PhotoSink {
 public:
  ResultCollector(const PhotoArguments& arguments, const Environment& environment,
                  const PhotoList& list, CropWriter* writer)
      : environment_(environment),
        writer_(writer),
        lists_photos_(writer != nullptr && !arguments.quiet && arguments.json != "-"),
        progress_(environment.err, environment.err_is_terminal && !arguments.quiet,
                  list.photos.size()) {
    result_.head.placement.device = to_string(arguments.detect.device);
    result_.head.placement.precision = to_string(arguments.detect.precision);
    result_.head.request = arguments.request;
    result_.head.crops = writer != nullptr;
    result_.detect = arguments.detect;
    result_.alpha = arguments.decode.alpha;
    result_.photos = list.photos.size();
    result_.skipped = list.skipped;
    result_.skipped_subfolders = list.skipped_subfolders;
  }

  void ran_on(Device device, Precision precision) override {
    const std::lock_guard lock(mutex_);
    result_.head.placement.device = to_string(device);
    result_.head.placement.precision = to_string(precision);
  }

  void take(crop::ImageResult photo, const image::Image* image) override {
    const std::lock_guard lock(mutex_);
    if (writer_ != nullptr && image != nullptr && !photo.error) write(photo, *image);
    report(photo);
    any_failed_ = any_failed_ || photo.error.has_value();
    any_read_ = any_read_ || image != nullptr;
    result_.images.push_back(std::move(photo));
    progress_.advance();
  }

  void set_model(const std::string& name) {
    const std::lock_guard lock(mutex_);
    result_.head.placement.model = name;
  }

  /// Thresholds that the user left to the model or the taxonomy.
  void set_thresholds(const ModelInfo& model, const crop::Search& search) {
    const std::lock_guard lock(mutex_);
    crop::Request& request = result_.head.request;
    if (search.plan && !request.threshold) request.threshold = search.plan->scoring.threshold;
    if (!request.scoring.threshold) request.scoring.threshold = model.threshold;
    if (!request.scoring.text_threshold) request.scoring.text_threshold = model.text_threshold;
  }

  /// Says once, on the error stream and in the results, which of the words the model was never
  /// taught.
  void add_hints(const PhotoArguments& arguments) {
    const std::lock_guard lock(mutex_);
    const std::string& model = result_.head.placement.model;
    const std::string better(model_files::known_models().front().name);
    result_.head.hints =
        crop::model_hints(arguments.request, result_.images, taxonomy::Catalog().for_model(model),
                          model, "itemcrop models pull " + better + ", then --model " + better);
    if (arguments.quiet) return;
    progress_.clear();
    for (const std::string& hint : result_.head.hints) {
      environment_.err << "itemcrop: hint: " << printable(hint) << '\n' << std::flush;
    }
  }

  /// Calls use(result) with the photos finished so far; the progress line is taken away first.
  template <typename Use>
  void with_result(Use&& use) {
    const std::lock_guard lock(mutex_);
    progress_.clear();
    use(result_);
  }

  /// Every photo was handed in.
  void finish() {
    const std::lock_guard lock(mutex_);
    result_.complete = true;
  }

  bool any_failed() {
    const std::lock_guard lock(mutex_);
    return any_failed_;
  }

  /// Whether a photo could be decoded, whatever became of it then.
  bool any_read() {
    const std::lock_guard lock(mutex_);
    return any_read_;
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
  bool any_read_ = false;
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

/// What a folder that holds results says of them, and what will become of them.
std::string earlier_note(const OutputFolder& folder, const RunRecord& now) {
  const RunRecord& earlier = *folder.earlier();
  std::string note = folder.path().string() + " holds results of ";
  if (!earlier.complete) note += "an interrupted run over ";
  note += counted(earlier.photos, "photo");
  if (!earlier.date.empty()) note += ", " + earlier.date;
  const std::vector<std::string> other = differences(earlier, now);
  note +=
      other.empty() ? ", with the same settings" : ", with other settings (" + join(other) + ")";
  return note + "; they are moved to " + folder.previous().string() +
         " when the first photo is done";
}

RunRecord record_of(const PhotoArguments& arguments, const std::string& model, std::size_t photos) {
  RunResult asked;
  asked.head.request = arguments.request;
  asked.head.crops = true;
  asked.detect = arguments.detect;
  asked.alpha = arguments.decode.alpha;
  RunRecord record;
  record.version = ITEMCROP_VERSION;
  record.date = crop::rfc3339(asked.head.date);
  record.run = {{"model", model}};
  record.run.update(request_json(asked));
  record.photos = photos;
  return record;
}

model_files::LocatedModel find_model(const PhotoArguments& arguments,
                                     const Environment& environment) {
  return model_files::locate_model(
      arguments.model,
      model_files::default_model_search(environment.executable, environment.variable));
}

/// Loads the model and runs every photo through it into the collector.
void run_model(const PhotoArguments& arguments, const Environment& environment,
               const model_files::LocatedModel& located, const PhotoList& list,
               ResultCollector& collector) {
  collector.set_model(located.name);
  const std::shared_ptr<const Model> model = environment.load_model(located.folder);
  collector.set_thresholds(model->info(), arguments.search);
  run_photos(*model, list.photos, arguments, make_photo_reader(environment.in, arguments),
             collector);
  collector.finish();
  if (arguments.hints) collector.add_hints(arguments);
}

/// The crops of a run would be read and moved away at once.
void refuse_own_results(const OutputFolder& folder, const PhotoList& list) {
  for (const PhotoSource& photo : list.photos) {
    if (photo.path.empty() || !folder.moves(photo.path)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                "'" + photo.name + "' is a result in the output folder '" + folder.path().string() +
                    "', whose results are replaced; choose another --out");
  }
}

void print_summary(const RunResult& result, const CropWriter& writer,
                   const Environment& environment) {
  environment.out << totals_line(result) << ": " << printable(writer.overview().string()) << '\n';
  const std::string skipped = skipped_line(result);
  if (!skipped.empty()) environment.out << skipped << '\n';
  environment.out << std::flush;
}

}  // namespace

ExitCode run_crop(const CropArguments& arguments, const Environment& environment) {
  const PhotoArguments& asked = arguments.photos;
  const PhotoList list = find_photos(asked.inputs, asked.recursive, arguments.out);
  CropWriter writer(arguments);
  check_json(asked.json);
  refuse_own_results(writer.folder(), list);
  const model_files::LocatedModel located = find_model(asked, environment);
  const RunRecord record = record_of(asked, located.name, list.photos.size());
  writer.set_record(record);
  if (writer.folder().earlier() && !asked.quiet) {
    print_note(environment, earlier_note(writer.folder(), record));
  }
  ResultCollector collector(asked, environment, list, &writer);
  const auto save = [&] {
    collector.with_result([&](const RunResult& result) { writer.write_summary(result); });
  };
  const InterruptWatch watch([&] {
    try {
      save();
      print_error(environment, writer.folder().is_open()
                                   ? "interrupted; finished photos are listed in " + arguments.out
                                   : "interrupted; no photo was finished and nothing was written");
    } catch (const std::exception& error) {
      print_error(environment, error.what());
    }
  });
  try {
    run_model(asked, environment, located, list, collector);
  } catch (const Error& error) {
    // A device lost half-way must not lose the list of what was written before.
    collector.with_result([&](const RunResult& result) {
      if (!result.images.empty() && error.code() != ErrorCode::kIo) writer.write_summary(result);
    });
    throw;
  }
  save();
  if (!writer.folder().is_open()) {
    print_error(environment, "no photo could be processed; " +
                                 (writer.folder().earlier() ? arguments.out + " is left as it was"
                                                            : std::string("nothing was written")));
  }
  collector.with_result([&](const RunResult& result) {
    const bool prints = asked.json == "-";
    if (!asked.json.empty() && (prints || writer.folder().is_open())) {
      write_json(asked.json, result, environment);
    }
    if (!asked.quiet && !prints && writer.folder().is_open()) {
      print_summary(result, writer, environment);
    }
  });
  return collector.any_failed() ? kSomePhotosFailed : kOk;
}

ExitCode run_detect(const DetectArguments& arguments, const Environment& environment) {
  const PhotoArguments& asked = arguments.photos;
  const PhotoList list = find_photos(asked.inputs, asked.recursive);
  check_json(asked.json);
  ResultCollector collector(asked, environment, list, nullptr);
  run_model(asked, environment, find_model(asked, environment), list, collector);
  if (asked.json != "-" && !collector.any_read()) {
    print_error(environment, "no photo could be read; " + asked.json + " is not written");
    return kSomePhotosFailed;
  }
  collector.with_result([&](const RunResult& result) {
    write_json(asked.json, result, environment);
    const std::string skipped = skipped_line(result);
    if (!asked.quiet && !skipped.empty()) print_note(environment, skipped);
  });
  return collector.any_failed() ? kSomePhotosFailed : kOk;
}

}  // namespace itemcrop::cli
