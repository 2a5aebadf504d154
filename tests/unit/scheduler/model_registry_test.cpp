#include "scheduler/model_registry.h"

#include <atomic>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "scripted_model.h"
#include "support/expect_error.h"

namespace itemcrop::scheduler {
namespace {

using std::chrono::seconds;
using test::expect_error;
using test::Gate;
using test::on_cpu;
using test::on_gpu;
using test::ScriptedModel;

ModelConfig config_of(std::string name, std::function<std::shared_ptr<const Model>()> loader) {
  ModelConfig config;
  config.name = std::move(name);
  config.loader = std::move(loader);
  config.placements = {on_cpu()};
  return config;
}

TEST(ModelRegistry, LoadsWarmsUpAndReportsEveryModel) {
  const auto model = std::make_shared<ScriptedModel>();
  ModelRegistry registry({config_of("a", [&] { return model; }),
                          config_of("b", [] { return std::make_shared<ScriptedModel>(); })},
                         "b");
  ASSERT_TRUE(registry.wait_loaded(seconds(20)));
  EXPECT_TRUE(registry.ready());
  EXPECT_EQ(registry.get()->name, "b");
  EXPECT_EQ(registry.get("a")->model, model);
  EXPECT_EQ(registry.get("a")->generation, 1U);
  EXPECT_EQ(model->sizes(), (std::vector<std::size_t>{1, 1})) << "two warm-up calls";
  const auto status = registry.status();
  ASSERT_EQ(status.size(), 2U);
  EXPECT_FALSE(status[0].is_default);
  EXPECT_TRUE(status[1].is_default);
  EXPECT_EQ(status[0].state, ModelState::kReady);
  EXPECT_EQ(status[0].info.parameters, 1234567);
  ASSERT_EQ(status[0].replicas.size(), 1U);
  EXPECT_EQ(status[0].replicas[0].device_name, "scripted 0");
  EXPECT_EQ(status[0].replicas[0].precision, Precision::kFp32);
  expect_error(ErrorCode::kNotFound, "\"c\" is not one of a, b", [&] { registry.get("c"); });
}

TEST(ModelRegistry, RefusesBadConfigurations) {
  const auto loader = [] { return std::make_shared<ScriptedModel>(); };
  const auto invalid = [](std::string_view part, std::vector<ModelConfig> models,
                          std::string name = "") {
    expect_error(ErrorCode::kInvalidArgument, part, [&] { ModelRegistry(models, name); });
  };
  invalid("at least one", {});
  invalid("1 to 128 bytes", {config_of("", loader)});
  invalid("1 to 128 bytes", {config_of(std::string(129, 'x'), loader)});
  invalid("\"a\" is used twice", {config_of("a", loader), config_of("a", loader)});
  invalid("default model \"z\"", {config_of("a", loader)}, "z");
  ModelConfig nowhere = config_of("a", loader);
  nowhere.placements.clear();
  invalid("at least one device", {nowhere});
  nowhere.placements = {on_gpu(1), on_gpu(1)};
  invalid("twice on cuda:1", {nowhere});
}

TEST(ModelRegistry, IsUnavailableWhileLoadingAndAfterAFailure) {
  Gate gate;
  ModelRegistry registry({config_of("slow",
                                    [&] {
                                      gate.pass();
                                      return std::make_shared<ScriptedModel>();
                                    }),
                          config_of("bad", []() -> std::shared_ptr<const Model> {
                            throw Error(ErrorCode::kCorruptModel, "the header is damaged");
                          })});
  gate.wait_arrived();
  EXPECT_EQ(registry.status()[0].state, ModelState::kLoading);
  EXPECT_FALSE(registry.wait_loaded(std::chrono::milliseconds(1)));
  expect_error(ErrorCode::kUnavailable, "\"slow\" is still loading", [&] { registry.get(); });
  gate.open();
  EXPECT_FALSE(registry.wait_loaded(seconds(20)));
  EXPECT_FALSE(registry.ready());
  EXPECT_NE(registry.get("slow"), nullptr);
  EXPECT_EQ(registry.status()[1].state, ModelState::kFailed);
  expect_error(ErrorCode::kUnavailable, "the header is damaged", [&] { registry.get("bad"); });
}

TEST(ModelRegistry, ServesWhereItCouldBePrepared) {
  const auto model = std::make_shared<ScriptedModel>();
  model->on_prepare = [](const DetectOptions& options) {
    if (options.device_index == 1) throw Error(ErrorCode::kUnsupportedDevice, "no such device");
  };
  ModelConfig config = config_of("a", [&] { return model; });
  config.placements = {on_gpu(0), on_gpu(1), on_gpu(2)};
  ModelRegistry registry({config});
  ASSERT_TRUE(registry.wait_loaded(seconds(20)));
  EXPECT_EQ(registry.devices().size(), 3U);
  const auto served = registry.get();
  EXPECT_NE(served->replica({Device::kCuda, 0}), nullptr);
  EXPECT_EQ(served->replica({Device::kCuda, 1}), nullptr);
  EXPECT_EQ(registry.status()[0].reason, "cuda:1: no such device");
}

TEST(ModelRegistry, ReloadSwapsAndKeepsTheOldCopyForItsUsers) {
  std::atomic<int> loads = 0;
  std::atomic<bool> fails = false;
  Gate gate;
  gate.open();
  ModelRegistry registry({config_of("a", [&]() -> std::shared_ptr<const Model> {
    gate.pass();
    if (fails) throw Error(ErrorCode::kNotFound, "the folder is gone");
    ++loads;
    return std::make_shared<ScriptedModel>();
  })});
  ASSERT_TRUE(registry.wait_loaded(seconds(20)));
  std::shared_ptr<const ServedModel> old = registry.get();
  const std::weak_ptr<const Model> old_model = old->model;

  const auto reload = [&](std::string_view name) {
    auto promise = std::make_shared<std::promise<std::exception_ptr>>();
    registry.reload(name, [promise](std::exception_ptr error) { promise->set_value(error); });
    return promise->get_future();
  };
  gate.close();
  auto first = reload("a");
  gate.wait_arrived(2);
  EXPECT_TRUE(registry.status()[0].reloading);
  EXPECT_EQ(registry.get(), old) << "requests go on with the present copy";
  EXPECT_TRUE(registry.ready());
  // Two more while one is running: they share one load.
  auto second = reload("a");
  auto third = reload("a");
  gate.open();
  EXPECT_EQ(first.get(), nullptr);
  EXPECT_EQ(second.get(), nullptr);
  EXPECT_EQ(third.get(), nullptr);
  EXPECT_EQ(loads, 3);
  EXPECT_EQ(registry.get()->generation, 3U);
  EXPECT_FALSE(old_model.expired());
  old.reset();
  EXPECT_TRUE(old_model.expired()) << "the last user is gone";

  fails = true;
  const auto present = registry.get();
  EXPECT_NE(reload("a").get(), nullptr);
  EXPECT_EQ(registry.get(), present);
  EXPECT_EQ(registry.status()[0].state, ModelState::kReady);
  EXPECT_EQ(registry.status()[0].reason, "the folder is gone");
  EXPECT_FALSE(registry.status()[0].reloading);
  fails = false;
  EXPECT_EQ(reload("").get(), nullptr);
  EXPECT_EQ(registry.status()[0].reason, "");
  expect_error(ErrorCode::kNotFound, "\"x\"", [&] { registry.reload("x"); });
}

TEST(ModelRegistry, AFailedModelCanBeReloaded) {
  std::atomic<bool> fails = true;
  ModelRegistry registry({config_of("a", [&]() -> std::shared_ptr<const Model> {
    if (fails) throw Error(ErrorCode::kNotFound, "no folder");
    return std::make_shared<ScriptedModel>();
  })});
  EXPECT_FALSE(registry.wait_loaded(seconds(20)));
  fails = false;
  registry.reload("a");
  EXPECT_TRUE(registry.wait_loaded(seconds(20)));
}

TEST(ModelRegistry, DestructionCancelsReloadsThatHaveNotBegun) {
  Gate gate;
  std::promise<ErrorCode> cancelled;
  std::thread opener;
  {
    ModelRegistry registry({config_of("a", [&] {
      gate.pass();
      return std::make_shared<ScriptedModel>();
    })});
    gate.wait_arrived();
    registry.reload("a", [&](std::exception_ptr error) {
      cancelled.set_value(test::Ended{error, {}}.code());
    });
    opener = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      gate.open();
    });
  }
  opener.join();
  EXPECT_EQ(cancelled.get_future().get(), ErrorCode::kCancelled);
}

TEST(EstimateCache, AsksOnceAShapeAndStaysBounded) {
  const ScriptedModel model;
  EstimateCache cache(4);
  Task task = test::make_task("coat");
  const auto ask = [&] {
    return cache.workspace_bytes(model, std::span(&task.request, 1), DetectOptions{});
  };
  EXPECT_EQ(ask(), 16U);
  EXPECT_EQ(ask(), 16U);
  EXPECT_EQ(model.estimates(), 1);
  task.request.image.height = 3;
  EXPECT_EQ(ask(), 12U);
  task.request.items[0].prompt = "coats";
  ask();
  EXPECT_EQ(model.estimates(), 3);
  for (int width = 10; width < 30; ++width) {
    task.request.image.width = width;
    EXPECT_EQ(ask(), static_cast<std::size_t>(width) * 3);
  }
  task.request.items[0].prompt = "refused";
  expect_error(ErrorCode::kInvalidArgument, "refused", ask);
}

}  // namespace
}  // namespace itemcrop::scheduler
