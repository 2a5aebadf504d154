#include "service/requests/crop_request.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "service/legacy/requests.h"
#include "service/requests/error_reply.h"
#include "service/requests/json_fields.h"

namespace itemcrop::service {
namespace {

http::Request request_of(std::string body, std::string content_type = "application/json") {
  http::Request request;
  request.method = "POST";
  request.headers = {{"Content-Type", std::move(content_type)}};
  request.body = std::move(body);
  return request;
}

CropRequest read(const std::string& body, RequestKind kind = RequestKind::kCrop,
                 const Settings& settings = {}) {
  http::Request request = request_of(body);
  return parse_crop_request(request, kind, settings);
}

/// "STATUS field" of what is wrong.
std::string problem(http::Request request, RequestKind kind = RequestKind::kCrop,
                    const Settings& settings = {}) {
  try {
    parse_crop_request(request, kind, settings);
  } catch (const Error&) {
    const ErrorReply reply = error_reply(std::current_exception());
    return std::to_string(reply.status) + " " + reply.field;
  }
  return "none";
}

std::string problem(const std::string& body, RequestKind kind = RequestKind::kCrop,
                    const Settings& settings = {}) {
  return problem(request_of(body), kind, settings);
}

const std::string kImage = R"("image": {"base64": "AAAA"})";

TEST(CropRequest, ReadsEveryField) {
  const CropRequest request = read(R"({
    "images": [{"url": "https://a.example/x.jpg", "id": "x"}, {"base64": "AAEC"}],
    "items": ["navy blazer", {"prompt": "bag", "threshold": 0.4, "count": 2, "distractor": true}],
    "categories": ["tops"], "model": "tiny", "threshold": 0.3, "text_threshold": 0.2, "count": 3,
    "nms": 0.6, "containment": 0.7, "suppress": false, "margin": 0.1, "square": true,
    "min_size": 64, "format": "webp", "quality": 80, "return": "zip", "deadline_ms": 500})");
  ASSERT_EQ(request.images.size(), 2U);
  EXPECT_EQ(request.images[0].id, "x");
  EXPECT_EQ(std::get<std::string>(request.images[0].from), "https://a.example/x.jpg");
  EXPECT_EQ(request.images[1].id, "1");
  EXPECT_EQ(std::get<1>(request.images[1].from)->size(), 3U);
  ASSERT_EQ(request.items.size(), 2U);
  EXPECT_EQ(request.items[1].prompt, "bag");
  EXPECT_FLOAT_EQ(*request.items[1].threshold, 0.4F);
  EXPECT_EQ(*request.items[1].count, 2);
  EXPECT_TRUE(request.items[1].distractor);
  EXPECT_EQ(request.categories, std::vector<std::string>{"tops"});
  EXPECT_EQ(request.model, "tiny");
  EXPECT_FLOAT_EQ(request.scoring.threshold.value(), 0.3F);
  EXPECT_FLOAT_EQ(request.scoring.nms_iou, 0.6F);
  EXPECT_FALSE(request.scoring.suppress);
  EXPECT_EQ(request.scoring.count, 3);
  EXPECT_EQ(request.crop.format, image::Format::kWebp);
  EXPECT_EQ(request.crop.quality, 80);
  EXPECT_EQ(request.crop.min_size, 64);
  EXPECT_EQ(request.return_kind, ReturnKind::kZip);
  EXPECT_EQ(request.deadline, std::chrono::milliseconds(500));
}

TEST(CropRequest, ReadsFormsAndBareImages) {
  const std::string form =
      "--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\nJPEG\r\n"
      "--B\r\nContent-Disposition: form-data; name=\"items\"\r\n\r\nnavy blazer, pants\r\n"
      "--B\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{\"threshold\": 0.2}\r\n"
      "--B--";
  http::Request form_request = request_of(form, "multipart/form-data; boundary=B");
  const CropRequest by_form = parse_crop_request(form_request, RequestKind::kDetect, {});
  ASSERT_EQ(by_form.items.size(), 2U);
  EXPECT_EQ(by_form.items[1].prompt, "pants");
  EXPECT_FLOAT_EQ(by_form.scoring.threshold.value(), 0.2F);
  EXPECT_EQ(std::get<1>(by_form.images.at(0).from)->size(), 4U);

  http::Request raw = request_of("JPEG", "image/jpeg");
  ASSERT_TRUE(http::parse_target("/v1/crop?items=hat&square=true&quality=70&margin=0", raw));
  const CropRequest by_body = parse_crop_request(raw, RequestKind::kCrop, {});
  EXPECT_EQ(by_body.items.at(0).prompt, "hat");
  EXPECT_TRUE(by_body.crop.square);
  EXPECT_EQ(by_body.crop.quality, 70);
  EXPECT_EQ(by_body.crop.margin, 0);

  ASSERT_TRUE(http::parse_target("/v1/crop?items=hat&qualty=70", raw));
  raw.query.erase(raw.query.begin(), raw.query.begin() + 4);
  EXPECT_EQ(problem(raw), "422 qualty");
  EXPECT_EQ(problem(request_of("JPEG", "multipart/form-data")), "400 ");
  EXPECT_EQ(problem(request_of("x", "text/plain")), "415 ");
}

/// A form with an image and these fields.
http::Request form_of(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string body =
      "--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\nJPEG\r\n";
  for (const auto& [name, value] : fields) {
    body += "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  }
  return request_of(body + "--B--", "multipart/form-data; boundary=B");
}

TEST(CropRequest, ReadsEveryFormOfAListOfWords) {
  const auto items_of = [](const std::vector<std::pair<std::string, std::string>>& fields) {
    http::Request request = form_of(fields);
    std::string words;
    for (const Item& item : parse_crop_request(request, RequestKind::kCrop, {}).items) {
      words += "<" + item.prompt + ">";
    }
    return words;
  };
  EXPECT_EQ(items_of({{"items", R"(["t-shirt","pants, wide"])"}}), "<t-shirt><pants, wide>");
  EXPECT_EQ(items_of({{"items", "hat. pants."}}), "<hat><pants>");
  EXPECT_EQ(items_of({{"items", "hat"}, {"items", "pants, shoes"}}), "<hat><pants><shoes>");
  EXPECT_EQ(items_of({{"items", " "}, {"categories", "tops"}}), "");
  EXPECT_EQ(problem(form_of({{"items", R"(["hat",)"}})), "422 items");
  EXPECT_EQ(problem(form_of({{"items", "hat,,belt"}})), "422 items");
  EXPECT_EQ(problem(form_of({{"items", "hat"}, {"model", "a"}, {"model", "b"}})), "422 model");
  EXPECT_EQ(problem(form_of({{"options", R"({"items": ["hat"]})"}, {"items", "belt"}})),
            "422 items");
}

TEST(CropRequest, NamesTheFieldThatIsWrong) {
  const std::string items = R"(, "items": ["a"])";
  const std::pair<std::string, std::string> cases[] = {
      {"", "400 "},
      {"[", "400 "},
      {"[]", "422 the body"},
      {"{\"image\": {\"base64\": \"AAAA\"}, \"items\": [\"\xFF\"]}", "400 "},
      {R"({"threshold": NaN})", "400 "},
      {R"({"threshold": 1e999})", "400 "},
      {"{}", "422 image"},
      {"{" + kImage + "}", "422 items"},
      {"{" + kImage + R"(, "items": []})", "422 items"},
      {"{" + kImage + R"(, "items": "a"})", "422 items"},
      {"{" + kImage + R"(, "items": [" "]})", "422 items[0]"},
      {"{" + kImage + R"(, "items": [1]})", "422 items[0]"},
      {"{" + kImage + R"(, "items": ["a", {"prompt": "b", "threshold": 2}]})",
       "422 items[1].threshold"},
      {"{" + kImage + R"(, "items": [{"prompt": "b", "x": 2}]})", "422 items[0].x"},
      {"{" + kImage + R"(, "items": [{"prompt": "b", "distractor": true}]})", "422 items"},
      {"{" + kImage + items + R"(, "threshold": -0.1})", "422 threshold"},
      {"{" + kImage + items + R"(, "threshold": "0.1"})", "422 threshold"},
      {"{" + kImage + items + R"(, "count": 1.5})", "422 count"},
      {"{" + kImage + items + R"(, "format": "gif"})", "422 format"},
      {"{" + kImage + items + R"(, "return": "ftp"})", "422 return"},
      {"{" + kImage + items + R"(, "labels": "x"})", "422 labels"},
      {"{" + kImage + R"(, "categories": ["tops"], "labels": "tokens"})", "422 labels"},
      {"{" + kImage + items + R"(, "itms": 1})", "422 itms"},
      {R"({"image": {"base64": "A!"})" + items + "}", "422 image.base64"},
      {R"({"image": {})" + items + "}", "422 image"},
      {R"({"images": [{"url": "a", "base64": "AAAA"}])" + items + "}", "422 images[0]"},
      {R"({"images": [])" + items + "}", "422 images"}};
  for (const auto& [body, expected] : cases) EXPECT_EQ(problem(body), expected) << body;
  EXPECT_EQ(problem("{" + kImage + items + R"(, "margin": 0})", RequestKind::kDetect),
            "422 margin");
  EXPECT_EQ(
      problem(R"({"images": [{"url": "a"}], "deadline_ms": 5)" + items + "}", RequestKind::kJob),
      "422 deadline_ms");
}

TEST(CropRequest, HoldsTheLimitsToTheByte) {
  Settings settings;
  settings.max_image_bytes = 3;
  settings.max_text_bytes = 16;
  settings.max_items = 2;
  settings.max_images = 1;
  settings.max_json_depth = 4;
  const std::string head = R"({"image": {"base64": ")";
  EXPECT_EQ(problem(head + R"(AAAA"}, "items": ["a"]})", RequestKind::kCrop, settings), "none");
  EXPECT_EQ(problem(head + R"(AAAAAA=="}, "items": ["a"]})", RequestKind::kCrop, settings),
            "413 image.base64");
  const auto with_items = [&](const std::string& items) {
    return problem(head + R"(AAAA"}, "items": )" + items + "}", RequestKind::kCrop, settings);
  };
  EXPECT_EQ(with_items(R"(["12345678", "12345678"])"), "none");
  EXPECT_EQ(with_items(R"(["12345678", "123456789"])"), "422 items");
  EXPECT_EQ(with_items(R"(["a", "b", "c"])"), "422 items");
  EXPECT_EQ(with_items(R"([[["a"]]])"), "422 items[0]");
  EXPECT_EQ(with_items(R"([[[["a"]]]])"), "400 ");
  EXPECT_EQ(problem(R"({"images": [{"url": "a"}, {"url": "b"}], "items": ["a"]})",
                    RequestKind::kCrop, settings),
            "422 images");
}

TEST(LegacyCrop, IsReadAsTheOldBackendDid) {
  const auto read = [](http::Request request) { return legacy::parse_crop(request, {}); };
  const legacy::CropCall url = read(
      request_of(R"({"imageUrl": "https://a.example/x", "categories": ["tops"], "later": 1})"));
  EXPECT_EQ(url.image_url, "https://a.example/x");
  EXPECT_EQ(url.request.categories.size(), 1U);
  EXPECT_FALSE(url.request.count_in_all);
  EXPECT_FALSE(url.request.count_each);
  EXPECT_EQ(url.request.order, crop::Order::kAsAsked);
  const legacy::CropCall sent = read(request_of(
      R"({"imageBase64": "data:image/jpeg;base64,AAAA", "categories": ["bags"], "count": 2})"));
  EXPECT_EQ(sent.image_url, "");
  EXPECT_EQ(sent.request.count_in_all, 2);
  for (const char* bad : {"{}", R"({"imageUrl": "a"})", R"({"imageUrl": "a", "categories": []})",
                          R"({"imageUrl": 1, "categories": ["a"]})",
                          R"({"imageUrl": "a", "categories": ["a"], "count": 0})"}) {
    EXPECT_THROW(read(request_of(bad)), Error) << bad;
  }
}

TEST(ErrorReply, SaysNothingOfUnexpectedErrors) {
  const ErrorReply reply = error_reply(std::make_exception_ptr(std::runtime_error("/etc/secret")));
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.message.find("secret"), std::string::npos);
  const auto json = nlohmann::json::parse(
      error_json(error_reply(std::make_exception_ptr(invalid_field("nms", "is odd"))), "id-1"));
  EXPECT_EQ(json["error"]["field"], "nms");
  EXPECT_EQ(json["error"]["code"], "invalid_argument");
  EXPECT_EQ(json["detail"], "nms is odd");
  EXPECT_EQ(json["request_id"], "id-1");
}

}  // namespace
}  // namespace itemcrop::service
