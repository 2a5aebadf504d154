#include "cli/command_line.h"

#include <chrono>
#include <fstream>
#include <iterator>

#include <CLI/App.hpp>
#include <gtest/gtest.h>

#include "cli/completion.h"
#include "support/expect_error.h"

namespace itemcrop::cli {
namespace {

using test::expect_error;

ParsedCommandLine parse(const std::vector<std::string>& arguments) {
  return CommandLine().parse(arguments);
}

CropArguments crop(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"crop", "a.jpg", "--items", "hat"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return std::get<CropArguments>(parse(arguments).command.value());
}

void refuses(const std::vector<std::string>& arguments, const std::string& part) {
  expect_error(ErrorCode::kInvalidArgument, part, [&] { parse(arguments); });
}

void crop_refuses(const std::vector<std::string>& more, const std::string& part) {
  expect_error(ErrorCode::kInvalidArgument, part, [&] { crop(more); });
}

TEST(CommandLine, HintsAreSwitchedOffByAFlag) {
  EXPECT_TRUE(crop({}).photos.hints);
  EXPECT_FALSE(crop({"--no-hints"}).photos.hints);
}

TEST(CommandLine, DefaultsAreTheDocumentedOnes) {
  const CropArguments arguments = crop({});
  EXPECT_EQ(arguments.photos.inputs, std::vector<std::string>{"a.jpg"});
  EXPECT_EQ(arguments.photos.model, "wardrobe");
  EXPECT_EQ(arguments.photos.batch, 1);
  EXPECT_EQ(arguments.photos.detect.device, Device::kAuto);
  EXPECT_EQ(arguments.photos.detect.precision, Precision::kAuto);
  EXPECT_FALSE(arguments.photos.detect.deterministic);
  EXPECT_EQ(arguments.photos.search.scoring.threshold, std::nullopt);
  EXPECT_EQ(arguments.photos.search.scoring.text_threshold, std::nullopt);
  EXPECT_FLOAT_EQ(arguments.photos.search.scoring.nms_iou, 0.5F);
  EXPECT_EQ(arguments.photos.search.scoring.labels, LabelMode::kItems);
  EXPECT_EQ(arguments.photos.search.scoring.count, std::nullopt);
  EXPECT_TRUE(arguments.photos.search.scoring.suppress);
  EXPECT_EQ(arguments.photos.limits.max_pixels, 50'000'000);
  EXPECT_EQ(arguments.photos.limits.max_bytes, 20'000'000U);
  EXPECT_EQ(arguments.photos.fetch.max_bytes, 20'000'000U);
  EXPECT_EQ(arguments.photos.fetch.deadline, std::chrono::seconds(30));
  EXPECT_FALSE(arguments.photos.fetch.allow_private);
  EXPECT_EQ(arguments.out, "itemcrop-out");
  EXPECT_EQ(arguments.photos.json, "");
  EXPECT_DOUBLE_EQ(arguments.crop.margin, 0.05);
  EXPECT_EQ(arguments.crop.format, image::Format::kJpeg);
  EXPECT_EQ(arguments.crop.quality, 95);
  EXPECT_TRUE(arguments.annotated);
  EXPECT_TRUE(arguments.contact_sheet);
}

TEST(CommandLine, EveryFlagArrives) {
  const CropArguments arguments = crop({"b.jpg",
                                        "--item",
                                        "belt",
                                        "--distractor",
                                        "rope",
                                        "--item-threshold",
                                        "belt=0.4",
                                        "--item-count",
                                        "hat=2",
                                        "--model",
                                        "tiny",
                                        "--device",
                                        "cuda:1",
                                        "--precision",
                                        "bf16",
                                        "--threads",
                                        "3",
                                        "--threshold",
                                        "0.3",
                                        "--text-threshold",
                                        "0.2",
                                        "--count",
                                        "4",
                                        "--nms",
                                        "0.6",
                                        "--containment",
                                        "0.9",
                                        "--no-suppress",
                                        "--batch",
                                        "8",
                                        "--shortest-edge",
                                        "320",
                                        "--longest-edge",
                                        "533",
                                        "--deterministic",
                                        "--alpha",
                                        "drop",
                                        "--max-pixels",
                                        "1000",
                                        "--max-bytes",
                                        "2000",
                                        "--recursive",
                                        "--quiet",
                                        "--out",
                                        "o",
                                        "--json",
                                        "-",
                                        "--margin",
                                        "0.1",
                                        "--square",
                                        "--min-size",
                                        "64",
                                        "--format",
                                        "webp",
                                        "--quality",
                                        "80",
                                        "--no-annotated",
                                        "--no-index"});
  const PhotoArguments& photos = arguments.photos;
  EXPECT_EQ(photos.inputs, (std::vector<std::string>{"a.jpg", "b.jpg"}));
  ASSERT_EQ(photos.search.items.size(), 3U);
  EXPECT_EQ(photos.search.items[0].count, 2);
  EXPECT_FLOAT_EQ(photos.search.items[1].threshold.value(), 0.4F);
  EXPECT_TRUE(photos.search.items[2].distractor);
  EXPECT_EQ(photos.model, "tiny");
  EXPECT_EQ(photos.detect.device, Device::kCuda);
  EXPECT_EQ(photos.detect.device_index, 1);
  EXPECT_EQ(photos.detect.precision, Precision::kBf16);
  EXPECT_EQ(photos.detect.threads, 3);
  EXPECT_EQ(photos.detect.shortest_edge, 320);
  EXPECT_EQ(photos.detect.longest_edge, 533);
  EXPECT_TRUE(photos.detect.deterministic);
  EXPECT_FLOAT_EQ(photos.search.scoring.threshold.value(), 0.3F);
  EXPECT_FLOAT_EQ(photos.search.scoring.text_threshold.value(), 0.2F);
  EXPECT_EQ(photos.search.scoring.count, 4);
  EXPECT_FLOAT_EQ(photos.search.scoring.nms_iou, 0.6F);
  EXPECT_FLOAT_EQ(photos.search.scoring.containment, 0.9F);
  EXPECT_FALSE(photos.search.scoring.suppress);
  EXPECT_EQ(photos.batch, 8);
  EXPECT_EQ(photos.decode.alpha, image::AlphaMode::kDrop);
  EXPECT_EQ(photos.limits.max_pixels, 1000);
  EXPECT_EQ(photos.limits.max_bytes, 2000U);
  EXPECT_TRUE(photos.recursive);
  EXPECT_TRUE(photos.quiet);
  EXPECT_EQ(photos.json, "-");
  EXPECT_EQ(arguments.out, "o");
  EXPECT_DOUBLE_EQ(arguments.crop.margin, 0.1);
  EXPECT_TRUE(arguments.crop.square);
  EXPECT_EQ(arguments.crop.min_size, 64);
  EXPECT_EQ(arguments.crop.format, image::Format::kWebp);
  EXPECT_EQ(arguments.crop.quality, 80);
  EXPECT_FALSE(arguments.annotated);
  EXPECT_FALSE(arguments.contact_sheet);
}

TEST(CommandLine, RepeatedFlagsDoNotSwallowPhotos) {
  const auto arguments = std::get<DetectArguments>(
      parse({"detect", "--item", "hat", "--item", "belt", "a.jpg", "-"}).command.value());
  EXPECT_EQ(arguments.photos.inputs, (std::vector<std::string>{"a.jpg", "-"}));
  EXPECT_EQ(arguments.photos.search.items.size(), 2U);
  EXPECT_EQ(arguments.photos.json, "-");
}

TEST(CommandLine, VerifyComparesInFp32) {
  const auto arguments = std::get<VerifyArguments>(parse({"verify", "m", "p.jpg"}).command.value());
  EXPECT_EQ(arguments.model, "m");
  EXPECT_EQ(arguments.photo, "p.jpg");
  EXPECT_EQ(arguments.detect.precision, Precision::kFp32);
  EXPECT_EQ(std::get<InfoArguments>(parse({"info"}).command.value()).model, "wardrobe");
}

TEST(CommandLine, RefusalsNameTheFlagTheLimitAndTheValue) {
  crop_refuses({"--threshold", "1.5"}, "--threshold: must be a number from 0 to 1, got '1.5'");
  crop_refuses({"--threshold", "nan"}, "got 'nan'");
  crop_refuses({"--threshold", "much"}, "got 'much'");
  crop_refuses({"--quality", "0"}, "--quality: must be a whole number from 1 to 100, got '0'");
  crop_refuses({"--quality", "9.5"}, "got '9.5'");
  crop_refuses({"--threads", "99999"}, "from 0 to 1024, got '99999'");
  crop_refuses({"--batch", "0"}, "--batch");
  crop_refuses({"--margin", "-1"}, "--margin");
  crop_refuses({"--device", "gpu"}, "cuda:N");
  crop_refuses({"--device", "cuda:x"}, "got 'cuda:x'");
  crop_refuses({"--device", "cuda:-1"}, "N is the GPU's number");
  crop_refuses({"--device", "cuda:1x"}, "--device must be");
  crop_refuses({"--format", "jpg2"}, "did you mean 'jpg'");
  crop_refuses({"--precision", "fp23"}, "did you mean 'fp32'");
  crop_refuses({"--cpu-isa", "avx"}, "must be one of scalar");
}

TEST(CommandLine, SuggestsFlagsAndCommands) {
  crop_refuses({"--tresholt", "1"}, "did you mean --threshold?");
  refuses({"corp", "a.jpg"}, "did you mean crop?");
  refuses({}, "subcommand");
  refuses({"crop", "--items", "hat"}, "PHOTO");
  refuses({"completion", "tcsh"}, "bash, zsh, fish");
}

TEST(CommandLine, SettingsOfItemsDoNotGoWithTokenLabels) {
  EXPECT_EQ(crop({"--labels", "tokens"}).photos.search.scoring.labels, LabelMode::kTokens);
  crop_refuses({"--labels", "tokens", "--count", "1"}, "--count does not apply");
  crop_refuses({"--labels", "tokens", "--distractor", "x"}, "--distractor does not apply");
  crop_refuses({"--labels", "tokens", "--item-count", "hat=1"}, "--item-count does not apply");
  crop_refuses({"--labels", "tokens", "--item-threshold", "hat=1"}, "--item-threshold does not");
}

TEST(CommandLine, CategoriesBecomeAPlan) {
  const auto categories = [](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"crop", "a.jpg", "--categories", "tops, bags"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::get<CropArguments>(parse(arguments).command.value()).photos;
  };
  const PhotoArguments plain = categories({});
  ASSERT_TRUE(plain.search.plan);
  EXPECT_EQ(plain.search.plan->targets.size(), 2U);
  EXPECT_EQ(plain.search.plan->targets[1].category, "bag");
  EXPECT_EQ(plain.search.plan->targets[0].quota, 0) << "no limit, as over HTTP";
  EXPECT_EQ(plain.search.items.size(), plain.search.plan->items.size());
  EXPECT_FLOAT_EQ(plain.search.scoring.threshold.value(), 0.15F);
  EXPECT_FALSE(crop({}).photos.search.plan);

  const PhotoArguments more = categories({"-t", "0.4", "--count", "3", "--nms", "0.7"});
  EXPECT_FLOAT_EQ(more.search.scoring.threshold.value(), 0.4F);
  EXPECT_FLOAT_EQ(more.search.plan->selection.second_chance, 0.4F);
  EXPECT_FLOAT_EQ(more.search.plan->selection.nms_iou, 0.7F);
  EXPECT_EQ(more.search.plan->targets[0].quota, 3);
  EXPECT_FALSE(more.search.scoring.count);
  EXPECT_GT(categories({"--taxonomy", "fashion"}).search.items.size(), plain.search.items.size());
  EXPECT_GT(categories({"--model", "IDEA-Research/grounding-dino-tiny"}).search.items.size(),
            plain.search.items.size());
  refuses({"crop", "a.jpg", "-c", "tops,"}, "--categories names nothing at position 2");

  const PhotoArguments both = categories({"--items", "T-Shirt", "--item-threshold", "t-shirt=0.3"});
  EXPECT_EQ(both.search.items.size(), plain.search.items.size()) << "a t-shirt is one of the tops";
  ASSERT_EQ(both.search.plan->targets.size(), 3U);
  EXPECT_EQ(both.search.plan->targets[2].word, "T-Shirt");
  EXPECT_EQ(both.request.items.size(), 1U);
}

TEST(CommandLine, HelpTeaches) {
  const ParsedCommandLine help = parse({"--help"});
  EXPECT_FALSE(help.command);
  EXPECT_NE(help.text.find("Exit codes"), std::string::npos);
  EXPECT_NE(help.text.find("itemcrop crop look.jpg"), std::string::npos);
  const std::string crop_help = parse({"crop", "--help"}).text;
  for (const char* part : {"--threshold N", "[0.5]", "--device auto|cpu|cuda", "Examples:"}) {
    EXPECT_NE(crop_help.find(part), std::string::npos) << part << " is not in:\n" << crop_help;
  }
  for (const char* flag : {"--version", "-v", "-V"}) {
    EXPECT_EQ(parse({flag}).text.substr(0, 9), "itemcrop ") << flag;
  }
  EXPECT_EQ(parse({"help"}).text, help.text);
  EXPECT_EQ(parse({"help", "crop"}).text, crop_help);
  EXPECT_EQ(parse({"help", "crop", "more"}).text, crop_help);
  EXPECT_NE(crop_help.find("t-shirt, long sleeve shirt"), std::string::npos)
      << "the embedded model's words";
}

TEST(CommandLine, AMistypedCommandIsRecognised) {
  refuses({"corp", "look.jpg", "--items", "hat"}, "unknown command: corp; did you mean crop?");
  refuses({"halp"}, "unknown command: halp; there are crop, detect");
  refuses({"help", "corp"}, "unknown command: corp; did you mean crop?");
}

TEST(CommandLine, TheManPageExplainsEveryFlag) {
  std::ifstream file(ITEMCROP_SOURCE_DIR "/docs/itemcrop.1");
  std::string page((std::istreambuf_iterator<char>(file)), {});
  ASSERT_FALSE(page.empty());
  for (std::size_t at; (at = page.find("\\-")) != std::string::npos;) page.replace(at, 2, "-");
  const CommandLine command_line;
  int flags = 0;
  for (const CompletionCommand& command : describe_commands(command_line.app())) {
    EXPECT_NE(page.find("\n.B " + command.name + "\n"), std::string::npos) << command.name;
    for (const CompletionFlag& flag : command.flags) {
      ++flags;
      EXPECT_NE(page.find(flag.names.back()), std::string::npos)
          << command.name << " " << flag.names.back();
    }
  }
  EXPECT_GT(flags, 40);
}

TEST(CommandLine, UrlsHaveLimits) {
  const CropArguments arguments =
      crop({"--max-bytes", "1000", "--url-timeout", "0.5", "--private-urls"});
  EXPECT_EQ(arguments.photos.fetch.max_bytes, 1000U);
  EXPECT_EQ(arguments.photos.fetch.deadline, std::chrono::milliseconds(500));
  EXPECT_TRUE(arguments.photos.fetch.allow_private);
  crop_refuses({"--url-timeout", "0"}, "--url-timeout");
}

TEST(CommandLine, ModelsPullAndList) {
  const auto models = [](std::vector<std::string> more) {
    more.insert(more.begin(), "models");
    return std::get<ModelsArguments>(parse(more).command.value());
  };
  EXPECT_EQ(models({"pull", "a/b"}).revision, "main");
  EXPECT_EQ(models({"pull", "a/b", "--revision", "v1"}).revision, "v1");
  EXPECT_TRUE(models({"list", "--json"}).json);
  EXPECT_FALSE(models({"list"}).known);
  EXPECT_TRUE(models({"list", "--known"}).known);
  refuses({"models", "pull", "a/b", "--known"}, "--known only applies to models list");
  refuses({"models"}, "ACTION");
  refuses({"models", "push"}, "must be one of pull, list");
  refuses({"models", "pull"}, "MODEL is required");
  refuses({"models", "list", "a/b"}, "takes no MODEL");
}

}  // namespace
}  // namespace itemcrop::cli
