#include "service/metrics.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace itemcrop::service {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

const Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    30,   60};
const Histogram::BucketBoundaries kImages = {1, 2, 4, 8, 16, 32, 64};

Family<Counter>& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry);
}
Family<Gauge>& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return BuildGauge().Name(name).Help(help).Register(registry);
}
Family<Histogram>& histogram(prometheus::Registry& registry, const char* name, const char* help) {
  return BuildHistogram().Name(name).Help(help).Register(registry);
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// What was allocated and not given back; 0 where the C library does not tell. Unlike resident
/// memory it does not hold what the allocator keeps, so a leak shows at once.
double heap_bytes() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 heap = mallinfo2();
  return static_cast<double>(heap.uordblks + heap.hblkhd);
#else
  return 0;
#endif
}

double open_descriptors() {
  std::error_code error;
  std::filesystem::directory_iterator at("/proc/self/fd", error);
  double count = 0;
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) ++count;
  return std::max(0.0, count - 1);  // one of them is the folder's own
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  Family<Counter>& requests =
      counter(registry, "itemcrop_requests_total", "Requests answered, by route and status");
  Family<Histogram>& request_seconds = histogram(
      registry, "itemcrop_request_seconds", "From a request's first byte to its answer's last");
  Gauge& queue_depth =
      gauge(registry, "itemcrop_queue_depth", "Images that wait for a device").Add({});
  Gauge& queue_bytes =
      gauge(registry, "itemcrop_queue_bytes", "Bytes of decoded images that wait or run").Add({});
  Family<Histogram>& wait_seconds =
      histogram(registry, "itemcrop_queue_wait_seconds", "An image's wait for a device");
  Family<Histogram>& batch_images =
      histogram(registry, "itemcrop_batch_images", "Images of a model call");
  Family<Histogram>& batch_seconds =
      histogram(registry, "itemcrop_batch_seconds", "A model call, by device");
  Family<Counter>& rejected =
      counter(registry, "itemcrop_rejected_total", "Work refused or dropped, by reason");
  Counter& crops = counter(registry, "itemcrop_crops_total", "Crops made").Add({});
  Counter& not_found =
      counter(registry, "itemcrop_not_found_total", "Items asked for and not found").Add({});
  Histogram& fetch_seconds =
      histogram(registry, "itemcrop_fetch_seconds", "Downloads").Add({}, kSeconds);
  Counter& fetch_errors =
      counter(registry, "itemcrop_fetch_errors_total", "Downloads that failed").Add({});
  Histogram& store_seconds =
      histogram(registry, "itemcrop_store_seconds", "Storing a crop").Add({}, kSeconds);
  Family<Gauge>& device_up = gauge(registry, "itemcrop_device_up", "1: the device is healthy");
  Family<Gauge>& jobs = gauge(registry, "itemcrop_jobs", "Jobs kept, by status");
  Gauge& connections = gauge(registry, "itemcrop_connections", "Open client connections").Add({});
  Gauge& resident = gauge(registry, "process_resident_memory_bytes", "Resident memory").Add({});
  Gauge& heap = gauge(registry, "process_heap_bytes", "Heap in use").Add({});
  Gauge& descriptors = gauge(registry, "process_open_fds", "Open file descriptors").Add({});
  Gauge& cpu = gauge(registry, "process_cpu_seconds_total", "User and system time").Add({});
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}
Metrics::~Metrics() = default;

void Metrics::request(std::string_view route, int status, double seconds) {
  const std::string name(route);
  families_->requests.Add({{"route", name}, {"status", std::to_string(status)}}).Increment();
  families_->request_seconds.Add({{"route", name}}, kSeconds).Observe(seconds);
}

void Metrics::rejected(std::string_view reason) {
  families_->rejected.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::crops(std::size_t found, std::size_t not_found) {
  families_->crops.Increment(static_cast<double>(found));
  families_->not_found.Increment(static_cast<double>(not_found));
}

void Metrics::fetch(double seconds, bool failed) {
  families_->fetch_seconds.Observe(seconds);
  if (failed) families_->fetch_errors.Increment();
}

void Metrics::store(double seconds) { families_->store_seconds.Observe(seconds); }

void Metrics::jobs(std::string_view status, double count) {
  families_->jobs.Add({{"status", std::string(status)}}).Set(count);
}

void Metrics::connections(double count) { families_->connections.Set(count); }

void Metrics::on_queue(std::size_t works, std::size_t bytes) {
  families_->queue_depth.Set(static_cast<double>(works));
  families_->queue_bytes.Set(static_cast<double>(bytes));
}

void Metrics::on_wait(scheduler::Priority priority, double seconds) {
  families_->wait_seconds.Add({{"priority", std::string(to_string(priority))}}, kSeconds)
      .Observe(seconds);
}

void Metrics::on_batch(const scheduler::DeviceId& device, std::size_t images, double seconds) {
  families_->batch_images.Add({}, kImages).Observe(static_cast<double>(images));
  families_->batch_seconds.Add({{"device", to_string(device)}}, kSeconds).Observe(seconds);
}

void Metrics::on_rejected(scheduler::RejectReason reason) { rejected(to_string(reason)); }

void Metrics::on_device(const scheduler::DeviceId& device, bool healthy, std::string_view) {
  families_->device_up.Add({{"device", to_string(device)}}).Set(healthy ? 1 : 0);
}

std::string Metrics::text() const {
  families_->resident.Set(resident_bytes());
  families_->heap.Set(heap_bytes());
  families_->descriptors.Set(open_descriptors());
  families_->cpu.Set(cpu_seconds());
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace itemcrop::service
