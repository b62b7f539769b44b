#include "ldm/train/batch_loader.h"

#include <ATen/ops/empty.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::train {
namespace {

/// x / 127.5 - 1 of every byte.
const std::array<float, 256>& scaled_bytes() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(i) / 127.5F - 1.0F;
    }
    return values;
  }();
  return table;
}

void write_planes(const Image& picture, float* out) {
  const std::array<float, 256>& table = scaled_bytes();
  const std::size_t pixels = picture.rgb.size() / 3;
  for (std::size_t i = 0; i < pixels; ++i) {
    out[i] = table[picture.rgb[3 * i]];
    out[pixels + i] = table[picture.rgb[3 * i + 1]];
    out[2 * pixels + i] = table[picture.rgb[3 * i + 2]];
  }
}

/// A batch that is being read. Every sample has its own place, so its readers share nothing.
struct Pending {
  Batch batch;
  std::int64_t taken = 0;  // samples that a reader has begun
  std::int64_t done = 0;
  std::exception_ptr error;  // the first one

  std::int64_t count() const { return static_cast<std::int64_t>(batch.samples.size()); }
};

}  // namespace

at::Tensor picture_tensor(const Image& picture) {
  at::Tensor planes = at::empty({3, picture.height, picture.width}, at::kFloat);
  write_planes(picture, planes.mutable_data_ptr<float>());
  return planes;
}

struct BatchLoader::Impl {
  Impl(const Dataset& source, const SampleOrder& sample_order, const PictureOptions& how,
       std::uint64_t run_seed, int threads)
      : dataset(source), order(sample_order), options(how), seed(run_seed) {
    if (order.size() != dataset.size()) throw Error::internal("an order of another data set");
    for (int i = 0; i < threads; ++i) workers.emplace_back([this] { work(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake_workers.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  std::shared_ptr<Pending> allocate(std::int64_t first, std::int64_t count) const {
    const auto n = static_cast<std::size_t>(count);
    auto pending = std::make_shared<Pending>();
    Batch& batch = pending->batch;
    batch.first_position = first;
    batch.pictures = at::empty({count, 3, options.size, options.size}, at::kFloat);
    batch.captions.resize(n);
    batch.class_labels.resize(n, -1);
    batch.attributes.resize(n);
    batch.samples.resize(n);
    return pending;
  }

  void read_sample(Batch& batch, std::int64_t place) const {
    const std::int64_t position = batch.first_position + place;
    std::int64_t index = order.index_at(position);
    Example example = read_or_replace(index);
    const Image picture = fit_picture(example.picture, options, seed, position);
    const std::int64_t values = 3 * options.size * options.size;
    write_planes(picture, batch.pictures.mutable_data_ptr<float>() + place * values);
    const auto i = static_cast<std::size_t>(place);
    batch.captions[i] = std::move(example.caption);
    batch.class_labels[i] = example.class_label.value_or(-1);
    batch.attributes[i] = std::move(example.attributes);
    batch.samples[i] = index;
  }

  // The first readable example from `index` on, which is set to it.
  Example read_or_replace(std::int64_t& index) const {
    const std::int64_t size = dataset.size();
    for (std::int64_t tried = 0; tried < size; ++tried, index = (index + 1) % size) {
      if (is_known_bad(index)) continue;
      try {
        return dataset.read(index);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kInput) throw;
        const std::lock_guard lock(skipped_mutex);
        skipped.emplace(index, error.message());
      }
    }
    const std::lock_guard lock(skipped_mutex);
    throw Error::input(
        cat("none of the ", size, " pictures can be read; the first: ", skipped.begin()->second),
        "check the data set");
  }

  bool is_known_bad(std::int64_t index) const {
    const std::lock_guard lock(skipped_mutex);
    return skipped.count(index) > 0;
  }

  // Takes one sample of the oldest batch that has any left and reads it; `lock` is held outside.
  void read_one(std::unique_lock<std::mutex>& lock) {
    const std::shared_ptr<Pending> pending = queue.front();
    const std::int64_t place = pending->taken++;
    if (pending->taken == pending->count()) queue.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      read_sample(pending->batch, place);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && !pending->error) pending->error = error;
    if (++pending->done == pending->count()) batch_done.notify_all();
  }

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      wake_workers.wait(lock, [this] { return stopping || !queue.empty(); });
      if (stopping) return;
      read_one(lock);
    }
  }

  void enqueue(const std::shared_ptr<Pending>& pending) {
    {
      const std::lock_guard lock(mutex);
      queue.push_back(pending);
    }
    wake_workers.notify_all();
  }

  std::shared_ptr<Pending> take_prefetched(std::int64_t first, std::int64_t count) {
    std::shared_ptr<Pending> ready = std::exchange(ahead, nullptr);
    if (ready && ready->batch.first_position == first && ready->count() == count) return ready;
    if (ready) {
      // A guess that was wrong: nobody waits for it.
      const std::lock_guard lock(mutex);
      std::erase(queue, ready);
    }
    return nullptr;
  }

  const Dataset& dataset;
  const SampleOrder order;
  const PictureOptions options;
  const std::uint64_t seed;

  std::shared_ptr<Pending> ahead;
  std::optional<std::int64_t> last_first;

  mutable std::mutex skipped_mutex;
  mutable std::map<std::int64_t, std::string> skipped;

  std::mutex mutex;
  std::condition_variable wake_workers;
  std::condition_variable batch_done;
  std::deque<std::shared_ptr<Pending>> queue;  // batches with samples that no reader has begun
  bool stopping = false;
  std::vector<std::thread> workers;
};

BatchLoader::BatchLoader(const Dataset& dataset, const SampleOrder& order,
                         const PictureOptions& options, std::uint64_t seed, int threads)
    : impl_(std::make_unique<Impl>(dataset, order, options, seed, threads)) {}

BatchLoader::~BatchLoader() = default;

Batch BatchLoader::next(std::int64_t first_position, std::int64_t count) {
  if (count < 1 || first_position < 0) throw Error::internal("an empty batch");
  Impl& s = *impl_;
  std::shared_ptr<Pending> pending = s.take_prefetched(first_position, count);
  if (!pending) {
    pending = s.allocate(first_position, count);
    s.enqueue(pending);
  }
  {
    std::unique_lock lock(s.mutex);
    // The caller reads too: it has nothing else to do until the batch is complete.
    while (pending->taken < count) s.read_one(lock);
    s.batch_done.wait(lock, [&] { return pending->done == count; });
  }
  if (pending->error) std::rethrow_exception(pending->error);
  const std::int64_t stride = s.last_first ? first_position - *s.last_first : count;
  s.last_first = first_position;
  if (!s.workers.empty() && stride > 0) {
    s.ahead = s.allocate(first_position + stride, count);
    s.enqueue(s.ahead);
  }
  return std::move(pending->batch);
}

std::vector<SkippedPicture> BatchLoader::skipped() const {
  const std::lock_guard lock(impl_->skipped_mutex);
  std::vector<SkippedPicture> list;
  for (const auto& [index, reason] : impl_->skipped) {
    list.push_back({impl_->dataset.name(index), reason});
  }
  return list;
}

}  // namespace ldm::train
