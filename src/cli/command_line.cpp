#include "cli/command_line.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string_view>
#include <utility>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "itemcrop/error.h"
#include "itemcrop/version.h"

#include "cli/flags.h"
#include "cli/help_text.h"
#include "cli/placement.h"
#include "cli/validators.h"
#include "cli/words.h"
#include "core/words.h"
#include "items/scoring.h"
#include "service/requests/settings.h"
#include "taxonomy/taxonomy.h"

namespace itemcrop::cli {

// Flags as typed, before they become the engine's types. CommandLine::State, which has linkage,
// holds them, so they have it too.
struct DetectWords {
  std::string device = "auto";
  std::string precision = "auto";
  bool deterministic = false;
};

struct PhotoWords {
  DetectWords detect;
  std::string labels = "items";
  std::string alpha = "flatten";
  int count = 0;
  bool no_suppress = false;
  bool no_hints = false;
  std::int64_t max_bytes = static_cast<std::int64_t>(image::Limits{}.max_bytes);
  double url_timeout = 30;
};

struct CropWords {
  std::string format = "jpeg";
  bool no_annotated = false;
  bool no_index = false;
};

namespace {

constexpr int kHelpColumn = 30;
constexpr std::size_t kHelpWidth = 95;

constexpr const char* kSwitch = "true|false";

/// "  --threshold N    text [0.25]" instead of CLI11's "FLOAT:FLOAT in [0 - 1]=0.25".
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_positional() || is_flag(*option) ? "" : " " + option->get_type_name();
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    // A switch's "default" is what the flag alone means.
    const bool is_switch = option->get_type_name() == kSwitch;
    const std::string shown = is_switch ? "" : option->get_default_str();
    return option->get_description() + (shown.empty() ? "" : " [" + shown + "]");
  }
};

void apply(const DetectWords& words, DetectOptions& options) {
  place_on(words.device, "--device", options);
  options.precision = parse_precision(words.precision);
  options.deterministic = words.deterministic;
}

void refuse_for_tokens(const PhotoArguments& arguments) {
  const auto refuse = [](const std::string& flag) {
    throw Error(ErrorCode::kInvalidArgument,
                flag + " does not apply to --labels tokens, which follows the reference's rule");
  };
  if (arguments.request.scoring.count) refuse("--count");
  if (!arguments.item_words.distractors.empty()) refuse("--distractor");
  if (!arguments.item_words.thresholds.empty()) refuse("--item-threshold");
  if (!arguments.item_words.counts.empty()) refuse("--item-count");
}

void plan_categories(const PhotoWords& words, PhotoArguments& arguments) {
  crop::Request& request = arguments.request;
  if (request.scoring.labels == LabelMode::kTokens) {
    throw Error(ErrorCode::kInvalidArgument, "--categories does not apply to --labels tokens");
  }
  request.threshold = request.scoring.threshold;
  request.count_each = words.count;
  request.describe = true;
  arguments.search =
      crop::plan_search(request, find_taxonomy(arguments.item_words, arguments.model));
}

void apply(const PhotoWords& words, PhotoArguments& arguments) {
  apply(words.detect, arguments.detect);
  ScoringOptions& scoring = arguments.request.scoring;
  scoring.labels = words.labels == "tokens" ? LabelMode::kTokens : LabelMode::kItems;
  if (words.count > 0) scoring.count = words.count;
  scoring.suppress = !words.no_suppress;
  arguments.hints = !words.no_hints;
  arguments.decode.alpha =
      words.alpha == "drop" ? image::AlphaMode::kDrop : image::AlphaMode::kFlatten;
  arguments.limits.max_bytes = static_cast<std::size_t>(words.max_bytes);
  arguments.fetch.max_bytes = arguments.limits.max_bytes;
  arguments.fetch.deadline =
      std::chrono::milliseconds(static_cast<std::int64_t>(1000 * words.url_timeout));
  if (scoring.labels == LabelMode::kTokens) refuse_for_tokens(arguments);
  items::check_scoring(scoring);
  arguments.request.items = parse_items(arguments.item_words);
  arguments.request.categories = parse_categories(arguments.item_words);
  if (!arguments.request.categories.empty()) {
    plan_categories(words, arguments);
  } else if (!arguments.item_words.taxonomy.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "--taxonomy only applies to --categories");
  } else {
    arguments.search = crop::plan_search(arguments.request, {});
  }
}

template <typename T>
CLI::Option* add(CLI::App* app, const std::string& name, T& value, const std::string& type,
                 const std::string& description, bool show_default = true) {
  CLI::Option* option = app->add_option(name, value, description)->type_name(type);
  option->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);  // so that an alias can be overruled
  return show_default ? option->capture_default_str() : option;
}

/// Help of the settings is written as notes; flags have sentences.
std::string sentence(std::string_view note) {
  std::string text(note);
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] -= 'a' - 'A';
  return text;
}

/// An option that may be repeated and takes one value each time, so that it never swallows photos.
CLI::Option* add_repeated(CLI::App* app, const std::string& name, std::vector<std::string>& values,
                          const std::string& type, const std::string& description) {
  return app->add_option(name, values, description)->type_name(type)->allow_extra_args(false);
}

void add_model(CLI::App* app, std::string& model) {
  add(app, "-m,--model", model, "MODEL",
      "Folder, installed name, or OWNER/NAME in the Hugging Face cache")
      ->group("Model");
}

void add_cpu_options(CLI::App* app, int& threads, std::string& cpu_isa) {
  add(app, "--threads", threads, "N", "CPU threads; 0: every core")
      ->check(whole_number_between(0, 1024))
      ->group("Model");
  add(app, "--cpu-isa", cpu_isa, "scalar|avx2|avx512|avx512_bf16|amx|neon",
      "Restrict the CPU engine to an instruction set", false)
      ->check(one_of({"scalar", "avx2", "avx512", "avx512_bf16", "amx", "neon"}))
      ->group("Model");
}

void add_device(CLI::App* app, DetectWords& words) {
  add(app, "--device", words.device, "auto|cpu|cuda", "Where to run; cuda:1 is the second GPU")
      ->group("Model");
  add(app, "--precision", words.precision, "auto|fp32|bf16|fp16",
      "Number format; auto is the fastest the device runs natively")
      ->check(one_of({"auto", "fp32", "bf16", "fp16"}))
      ->group("Model");
}

void add_photo_options(CLI::App* app, PhotoArguments& arguments, PhotoWords& words,
                       std::string& cpu_isa) {
  app->add_option("PHOTO", arguments.inputs,
                  "Files, folders, quoted patterns, http(s) URLs, or - for standard input")
      ->type_name("PHOTO")
      ->required();
  app->add_flag("-r,--recursive", arguments.recursive, "Search subfolders of folders too");

  add_repeated(app, "-i,--items", arguments.item_words.lists, "LIST",
               "What to find: \"navy blazer, pants\", 'hat. pants.' or JSON, '[\"hat\"]'")
      ->group("Items");
  add_repeated(app, "--item", arguments.item_words.singles, "NAME", "One item; may be repeated")
      ->group("Items");
  add_repeated(app, "-c,--categories", arguments.item_words.categories, "LIST",
               "Words of the taxonomy, all kinds of each: \"tops, shoes\"")
      ->group("Items");
  add(app, "--taxonomy", arguments.item_words.taxonomy, "FILE",
      "What --categories mean: a TOML file, or the name fashion or wardrobe", false)
      ->group("Items");
  add_repeated(app, "--distractor", arguments.item_words.distractors, "LIST",
               "Compete with the items but are never returned")
      ->group("Items");
  add_repeated(app, "--item-threshold", arguments.item_words.thresholds, "NAME=N",
               "--threshold of one item; may be repeated")
      ->group("Items");
  add_repeated(app, "--item-count", arguments.item_words.counts, "NAME=N",
               "--count of one item; may be repeated")
      ->group("Items");

  ScoringOptions& scoring = arguments.request.scoring;
  add(app, "-t,--threshold", scoring.threshold, "N",
      "Scores at or below this are dropped, 0 to 1 [the model's: 0.25 or 0.4]", false)
      ->check(number_between(0, 1))
      ->group("Scoring");
  add(app, "--count", words.count, "N", "At most this many of each item, best first; no limit: 0",
      false)
      ->check(whole_number_between(0, 1'000'000))
      ->group("Scoring");
  add(app, "--labels", words.labels, "items|tokens",
      "items: each box gets one item; tokens: the reference's glued labels")
      ->check(one_of({"items", "tokens"}))
      ->group("Scoring");
  add(app, "--text-threshold", scoring.text_threshold, "N",
      "--labels tokens: words at or below this are left out [the model's: 0.25 or 0.3]", false)
      ->check(number_between(0, 1))
      ->group("Scoring");
  add(app, "--nms", scoring.nms_iou, "N",
      "Of boxes of one item overlapping more than this (IoU), the best stays")
      ->check(number_between(0, 1))
      ->group("Scoring");
  add(app, "--containment", scoring.containment, "N",
      "Boxes with more than this share inside a better box of the item go")
      ->check(number_between(0, 1))
      ->group("Scoring");
  app->add_flag("--no-suppress", words.no_suppress, "Keep overlapping and nested boxes")
      ->group("Scoring");

  add_model(app, arguments.model);
  add_device(app, words.detect);
  add_cpu_options(app, arguments.detect.threads, cpu_isa);
  add(app, "--batch", arguments.batch, "N",
      "Photos a model call; more is faster on a GPU, not on a CPU")
      ->check(whole_number_between(1, 256))
      ->group("Model");
  add(app, "--shortest-edge", arguments.detect.shortest_edge, "PX",
      "The model's image size, shorter side; 0: the model's own")
      ->check(whole_number_between(0, 8192))
      ->group("Model");
  add(app, "--longest-edge", arguments.detect.longest_edge, "PX",
      "The model's image size, longer side; 0: the model's own")
      ->check(whole_number_between(0, 8192))
      ->group("Model");
  app->add_flag("--deterministic", words.detect.deterministic,
                "On a GPU: the same bits whatever is in the batch (slower)")
      ->group("Model");

  add(app, "--alpha", words.alpha, "flatten|drop",
      "Transparent pixels: blended on white, or their hidden colours")
      ->check(one_of({"flatten", "drop"}))
      ->group("Photos");
  add(app, "--max-pixels", arguments.limits.max_pixels, "N",
      "Larger photos are refused before they are decoded")
      ->check(whole_number_between(1, 10'000'000'000))
      ->group("Photos");
  add(app, "--max-bytes", words.max_bytes, "N", "Larger files are refused")
      ->check(whole_number_between(1, 10'000'000'000))
      ->group("Photos");

  add(app, "--url-timeout", words.url_timeout, "S", "Seconds that a photo's download may take")
      ->check(number_between(0.001, 86'400))
      ->group("Photos");
  arguments.fetch.names.allow_private = "--private-urls";
  app->add_flag("--private-urls", arguments.fetch.allow_private,
                "URLs may lead to private addresses and this machine")
      ->group("Photos");

  app->add_flag("--no-hints", words.no_hints,
                "Do not say what the model was taught where it finds little");
  app->add_flag("-q,--quiet", arguments.quiet,
                "No progress and no summary; errors are still shown");
}

void add_crop_options(CLI::App* app, CropArguments& arguments, CropWords& words) {
  add(app, "-o,--out", arguments.out, "DIR", "Output folder, created if missing")->group("Output");
  add(app, "--json", arguments.photos.json, "FILE",
      "Results here as well; - prints them, and nothing else, to standard output", false)
      ->group("Output");
  add(app, "--margin", arguments.crop.margin, "N", "Added on each side, as a share of the box")
      ->check(number_between(0, 10))
      ->group("Output");
  app->add_flag("--square", arguments.crop.square, "Extend the shorter side to a square")
      ->group("Output");
  add(app, "--min-size", arguments.crop.min_size, "PX", "Extend crops to at least this many pixels")
      ->check(whole_number_between(0, 65'500))
      ->group("Output");
  add(app, "--format", words.format, "jpeg|png|webp", "Format of the crops")
      ->check(one_of({"jpeg", "jpg", "png", "webp"}))
      ->group("Output");
  add(app, "--quality", arguments.crop.quality, "N", "JPEG and WebP quality, 1 to 100")
      ->check(whole_number_between(1, 100))
      ->group("Output");
  app->add_flag("--no-annotated", words.no_annotated, "Leave the annotated images out")
      ->group("Output");
  app->add_flag("--no-index", words.no_index, "Leave index.html out")->group("Output");
}

/// One flag a row of the settings; what is typed is read by service::load_settings().
void add_serve_options(CLI::App* app, ServeArguments& arguments,
                       std::map<std::string_view, std::vector<std::string>>& typed) {
  add(app, "--config", arguments.config, "FILE", "TOML file with any of the settings below", false);
  app->add_flag("--print-config", arguments.print_config,
                "Print the settings as they would be used, and exit");
  for (const service::Setting& setting : service::settings_table()) {
    const bool is_switch = std::holds_alternative<bool service::Settings::*>(setting.member);
    const bool is_list =
        std::holds_alternative<std::vector<std::string> service::Settings::*>(setting.member);
    std::string type = is_list ? "LIST" : setting.max > 0 ? "N" : "TEXT";
    if (is_switch) type = kSwitch;
    if (!setting.choices.empty()) {
      type.clear();
      for (const std::string_view choice : setting.choices) {
        type += (type.empty() ? "" : "|") + std::string(choice);
      }
    }
    CLI::Option* option =
        add_repeated(app, setting.flag(), typed[setting.name], type, sentence(setting.help));
    if (is_switch) option->expected(0, 1);
    option->default_str(is_switch ? "true" : service::default_text(setting));
    option->group(std::string(setting.section));
  }
}

std::vector<std::pair<const service::Setting*, std::string>> serve_flags(
    const std::map<std::string_view, std::vector<std::string>>& typed) {
  std::vector<std::pair<const service::Setting*, std::string>> flags;
  for (const service::Setting& setting : service::settings_table()) {
    const auto found = typed.find(setting.name);
    if (found == typed.end() || found->second.empty()) continue;
    std::string text = found->second.back();
    if (std::holds_alternative<std::vector<std::string> service::Settings::*>(setting.member)) {
      text.clear();
      for (const std::string& each : found->second) text += (text.empty() ? "" : ",") + each;
    }
    flags.emplace_back(&setting, std::move(text));
  }
  return flags;
}

/// "The following argument was not expected: --itmes" -> with the nearest flag of the command.
std::string with_suggestion(const std::string& message, const CLI::App& app) {
  const std::size_t at = message.rfind(": ");
  if (at == std::string::npos) return message;
  const std::string word = message.substr(at + 2, message.find_first_of(" =", at + 2) - at - 2);
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands()) {
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  }
  if (known.empty()) {
    for (const CLI::App* command : app.get_subcommands({})) known.push_back(command->get_name());
  }
  const auto typo = closest(word, known);
  return typo ? message + "; did you mean " + *typo + "?" : message;
}

/// The words that the embedded model was taught, for the end of a help text.
std::string taught_words() {
  const std::vector<std::string> words =
      taxonomy::Catalog().for_model(model_files::kDefaultModel).taught_words();
  std::string text = "The embedded model knows, in photos of clothes that lie flat or hang:";
  std::size_t column = kHelpWidth;  // begins a line
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i] + (i + 1 < words.size() ? "," : ".");
    if (column + 1 + word.size() > kHelpWidth) {
      text += "\n ";
      column = 1;
    }
    text += " " + word;
    column += 1 + word.size();
  }
  return text +
         "\nFor anything else: itemcrop models pull llmdet-tiny, then --model llmdet-tiny.\n";
}

/// Of a first word that is no command.
std::string unknown_command(const std::string& word, const CLI::App& app) {
  std::string message = with_suggestion("unknown command: " + word, app);
  if (message.find("did you mean") == std::string::npos) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
    message += "; there are " + join(names);
  }
  return message;
}

/// "help crop" means "crop --help", "help" means "--help".
std::vector<std::string> with_help_flag(const std::vector<std::string>& arguments,
                                        const CLI::App& app) {
  if (arguments.empty() || arguments.front() != "help") return arguments;
  if (arguments.size() == 1) return {"--help"};
  const std::vector<const CLI::App*> commands = app.get_subcommands({});
  const bool known = std::any_of(commands.begin(), commands.end(), [&](const CLI::App* command) {
    return command->get_name() == arguments[1];
  });
  if (!known) throw Error(ErrorCode::kInvalidArgument, unknown_command(arguments[1], app));
  return {arguments[1], "--help"};
}

/// CLI11 separates groups by two empty lines.
std::string without_double_gaps(std::string text) {
  for (std::size_t at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n")) {
    text.erase(at, 1);
  }
  return text;
}

}  // namespace

struct CommandLine::State {
  CLI::App app{help::kProgram, "itemcrop"};
  std::string cpu_isa;

  CropArguments crop;
  PhotoWords crop_words;
  CropWords output_words;
  DetectArguments detect;
  PhotoWords detect_words;
  InfoArguments info;
  VerifyArguments verify;
  DetectWords verify_words{.precision = "fp32"};
  DoctorArguments doctor;
  ServeArguments serve;
  std::map<std::string_view, std::vector<std::string>> serve_typed;
  ModelsArguments models;
  CompletionArguments completion;

  CLI::App* add_command(const std::string& name, const std::string& description,
                        const char* footer) {
    CLI::App* command = app.add_subcommand(name, description);
    command->footer(footer);
    return command;
  }
};

CommandLine::CommandLine() : state_(std::make_unique<State>()) {
  State& s = *state_;
  auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(kHelpColumn);
  formatter->label("OPTIONS", "OPTIONS");
  s.app.formatter(formatter);
  s.app.set_help_flag("-h,--help", "Explain and exit");
  s.app.set_version_flag("-v,-V,--version", "itemcrop " ITEMCROP_VERSION,
                         "Print the version and exit");
  s.app.require_subcommand(1);
  s.app.footer(help::kProgramFooter);

  CLI::App* crop = s.add_command("crop", "Cut the items out of photos", "");
  crop->footer([] { return help::kCropFooter + ("\n" + taught_words()); });
  add_photo_options(crop, s.crop.photos, s.crop_words, s.cpu_isa);
  add_crop_options(crop, s.crop, s.output_words);

  CLI::App* detect = s.add_command("detect", "Find the items and print JSON only", "");
  detect->footer([] { return help::kDetectFooter + ("\n" + taught_words()); });
  s.detect.photos.json = "-";
  add_photo_options(detect, s.detect.photos, s.detect_words, s.cpu_isa);
  add(detect, "--json", s.detect.photos.json, "FILE", "Where to write; - is standard output")
      ->group("Output");

  CLI::App* info = s.add_command("info", "Describe a model", help::kInfoFooter);
  add(info, "MODEL", s.info.model, "MODEL", "Folder or name, as for --model");
  info->add_flag("--json", s.info.json, "Print JSON");

  CLI::App* verify =
      s.add_command("verify", "Check a model against known answers", help::kVerifyFooter);
  add(verify, "MODEL", s.verify.model, "MODEL", "Folder or name, as for --model");
  add(verify, "PHOTO", s.verify.photo, "PHOTO", "The photo that the expected values belong to",
      false);
  add_device(verify, s.verify_words);
  add_cpu_options(verify, s.verify.detect.threads, s.cpu_isa);
  verify->add_flag("--json", s.verify.json, "Print JSON");

  CLI::App* doctor = s.add_command("doctor", "Check devices, libraries and the default model",
                                   help::kDoctorFooter);
  add_model(doctor, s.doctor.model);
  add_cpu_options(doctor, s.doctor.threads, s.cpu_isa);
  doctor->add_flag("--json", s.doctor.json, "Print JSON");

  CLI::App* serve = s.add_command("serve", "Answer requests over HTTP", help::kServeFooter);
  add_serve_options(serve, s.serve, s.serve_typed);

  CLI::App* models = s.add_command(
      "models", "Get a model from the Hugging Face hub, or list models", help::kModelsFooter);
  add(models, "ACTION", s.models.action, "pull|list", "pull or list")
      ->required()
      ->check(one_of({"pull", "list"}));
  add(models, "MODEL", s.models.model, "OWNER/NAME",
      "The hub's name of the model to pull, or one of list --known", false);
  add(models, "--revision", s.models.revision, "R", "Branch, tag or commit to pull");
  models->add_flag("--known", s.models.known,
                   "list: published models that can be pulled, with size, licence and accuracy");
  models->add_flag("--json", s.models.json, "Print JSON");
  models->add_flag("-q,--quiet", s.models.quiet, "No progress; errors are still shown");

  CLI::App* completion =
      s.add_command("completion", "Print a shell's completion script", help::kCompletionFooter);
  add(completion, "SHELL", s.completion.shell, "bash|zsh|fish", "bash, zsh or fish")
      ->required()
      ->check(one_of({"bash", "zsh", "fish"}));
}

CommandLine::~CommandLine() = default;

const CLI::App& CommandLine::app() const noexcept { return state_->app; }

ParsedCommandLine CommandLine::parse(const std::vector<std::string>& arguments) {
  State& s = *state_;
  try {
    // CLI11 takes its arguments last first.
    std::vector<std::string> words = with_help_flag(arguments, s.app);
    std::reverse(words.begin(), words.end());
    s.app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    return {std::nullopt, without_double_gaps(s.app.help()), ""};
  } catch (const CLI::CallForVersion& version) {
    return {std::nullopt, std::string(version.what()) + "\n", ""};
  } catch (const CLI::RequiredError& error) {
    if (s.app.get_subcommands().empty() && !arguments.empty()) {
      throw Error(ErrorCode::kInvalidArgument, unknown_command(arguments.front(), s.app));
    }
    throw Error(ErrorCode::kInvalidArgument, error.what());
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorCode::kInvalidArgument, with_suggestion(error.what(), s.app));
  }

  ParsedCommandLine parsed;
  parsed.cpu_isa = s.cpu_isa;
  const CLI::App& chosen = *s.app.get_subcommands().front();
  const std::string command = chosen.get_name();
  if (command == "crop") {
    apply(s.crop_words, s.crop.photos);
    s.crop.crop.format = image::parse_format(s.output_words.format);
    s.crop.photos.request.crop = s.crop.crop;
    s.crop.annotated = !s.output_words.no_annotated;
    s.crop.contact_sheet = !s.output_words.no_index;
    parsed.command = s.crop;
  } else if (command == "detect") {
    apply(s.detect_words, s.detect.photos);
    parsed.command = s.detect;
  } else if (command == "info") {
    parsed.command = s.info;
  } else if (command == "verify") {
    apply(s.verify_words, s.verify.detect);
    parsed.command = s.verify;
  } else if (command == "doctor") {
    parsed.command = s.doctor;
  } else if (command == "serve") {
    s.serve.flags = serve_flags(s.serve_typed);
    parsed.command = s.serve;
  } else if (command == "models") {
    if (s.models.action == "pull" && s.models.model.empty()) {
      throw Error(ErrorCode::kInvalidArgument, "models pull: MODEL is required, as OWNER/NAME");
    }
    if (s.models.action == "pull" && s.models.known) {
      throw Error(ErrorCode::kInvalidArgument, "--known only applies to models list");
    }
    if (s.models.action == "list" && !s.models.model.empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "models list takes no MODEL, got '" + s.models.model + "'");
    }
    parsed.command = s.models;
  } else {
    parsed.command = s.completion;
  }
  return parsed;
}

}  // namespace itemcrop::cli
