#include "ldm/train/store_group.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Logging.h>

#include <algorithm>
#include <cstring>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "ldm/core/text.h"

namespace ldm::train {
namespace {

// The store refuses values of more than 8 MiB.
constexpr std::size_t kPieceBytes = std::size_t{4} << 20U;

std::size_t pieces_of(const at::Tensor& tensor) {
  return std::max<std::size_t>(1, (tensor.nbytes() + kPieceBytes - 1) / kPieceBytes);
}

std::size_t piece_size(const at::Tensor& tensor, std::size_t piece) {
  return std::min(kPieceBytes, tensor.nbytes() - piece * kPieceBytes);
}

template <typename T>
void add_into(T* sum, const T* other, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += other[i];
}

/// A plain loop: ATen's would start a second team of threads beside that of backward.
void add_into(at::Tensor& sum, const at::Tensor& other) {
  void* to = sum.mutable_data_ptr();
  const void* from = other.const_data_ptr();
  switch (sum.scalar_type()) {
    case c10::kFloat:
      return add_into(static_cast<float*>(to), static_cast<const float*>(from), sum.numel());
    case c10::kDouble:
      return add_into(static_cast<double*>(to), static_cast<const double*>(from), sum.numel());
    default:
      return add_into(static_cast<std::int64_t*>(to), static_cast<const std::int64_t*>(from),
                      sum.numel());
  }
}

}  // namespace

struct StoreGroup::Store {
  c10::intrusive_ptr<c10d::Store> client;
};

StoreGroup::StoreGroup(const Launch& launch, std::chrono::milliseconds timeout)
    : QueuedGroup(launch.rank, launch.size, "store", timeout),
      store_(std::make_unique<Store>()),
      place_(cat(launch.address, ":", launch.port)),
      prefix_(cat("ldm/", launch.attempt, "/")) {
  // c10d prints every failure with its stack before it throws it.
  FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  run([this, &launch, timeout] { join(launch, timeout); });
}

StoreGroup::~StoreGroup() { end(); }

void StoreGroup::join(const Launch& launch, std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.port);
  options.isServer = launch.rank == 0 && launch.serves_store;
  options.waitWorkers = false;
  // A connection is tried again and again, for up to three times this long.
  options.timeout = std::max<std::chrono::milliseconds>(timeout / 3, std::chrono::seconds(1));
  try {
    store_->client = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
  } catch (const c10::Error& error) {
    const std::string why = error.what_without_backtrace();
    throw Error::stopped(
        ErrorCode::kInternal,
        cat("rank ", rank(), " of ", size(), " cannot ", options.isServer ? "open" : "reach",
            " the store at ", place_, ": ", why.substr(0, why.find('\n'))),
        options.isServer ? "set MASTER_PORT to a free port, the same for all ranks"
                         : "is rank 0 running, and MASTER_ADDR a name of its machine?");
  }
  store_->client->setTimeout(timeout);
  store_->client->set(cat(prefix_, "joined/", rank()), "1");
  for (int other = 0; other < size(); ++other) wait_for(cat(prefix_, "joined/", other), other);
}

std::string StoreGroup::key(std::uint64_t number, int from, std::size_t piece) const {
  return cat(prefix_, number, "/", from, "/", piece);
}

void StoreGroup::put(const at::Tensor& tensor) {
  const auto* bytes = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
  for (std::size_t piece = 0; piece < pieces_of(tensor); ++piece) {
    const std::uint8_t* begin = bytes + piece * kPieceBytes;
    store_->client->set(key(number_, rank(), piece),
                        std::vector<std::uint8_t>(begin, begin + piece_size(tensor, piece)));
  }
}

void StoreGroup::take(at::Tensor& tensor, int from) {
  auto* bytes = static_cast<std::uint8_t*>(tensor.mutable_data_ptr());
  for (std::size_t piece = 0; piece < pieces_of(tensor); ++piece) {
    const std::string name = key(number_, from, piece);
    wait_for(name, from);
    const std::vector<std::uint8_t> value = store_->client->get(name);
    if (value.size() != piece_size(tensor, piece)) {
      throw lost(cat("rank ", from, " sent ", value.size(), " bytes where ",
                     piece_size(tensor, piece), " were due"));
    }
    if (!value.empty()) std::memcpy(bytes + piece * kPieceBytes, value.data(), value.size());
  }
}

void StoreGroup::wait_for(const std::string& name, int from) {
  const std::string left = prefix_ + "left";
  poll(
      [&] {
        if (store_->client->check({name})) return true;
        if (store_->client->check({left})) {
          throw lost(cat("rank ", store_->client->get_to_str(left), " has left it"));
        }
        return false;
      },
      [&] { return lost(cat("rank ", from, " does not answer at the store ", place_)); });
}

void StoreGroup::forget(std::uint64_t number, int from, std::size_t pieces) {
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    store_->client->deleteKey(key(number, from, piece));
  }
}

void StoreGroup::do_sum(at::Tensor& tensor) {
  ++number_;
  put(tensor);
  at::Tensor sum = at::empty_like(tensor);
  at::Tensor other = at::empty_like(tensor);
  for (int from = 0; from < size(); ++from) {
    if (from != rank()) take(from == 0 ? sum : other, from);
    const at::Tensor& added = from == rank() ? tensor : other;
    if (from > 0) {
      add_into(sum, added);
    } else if (rank() == 0) {
      std::memcpy(sum.mutable_data_ptr(), tensor.const_data_ptr(), tensor.nbytes());
    }
  }
  std::memcpy(tensor.mutable_data_ptr(), sum.const_data_ptr(), tensor.nbytes());
  // All ranks have begun this operation, so all have done with the one before.
  forget(previous_, rank(), previous_pieces_);
  previous_ = number_;
  previous_pieces_ = pieces_of(tensor);
}

void StoreGroup::do_broadcast(at::Tensor& tensor, int root) {
  ++number_;
  if (rank() != root) {
    take(tensor, root);
    store_->client->set(key(number_, rank(), 0), "1");
    return;
  }
  put(tensor);
  for (int other = 0; other < size(); ++other) {
    if (other == root) continue;
    wait_for(key(number_, other, 0), other);
    forget(number_, other, 1);
  }
  forget(number_, root, pieces_of(tensor));
}

void StoreGroup::do_barrier() {
  at::Tensor nothing = at::zeros({1}, c10::kLong);
  do_sum(nothing);
}

void StoreGroup::do_close() {
  // The store ends with rank 0, which therefore goes last.
  store_->client->set(cat(prefix_, "closed/", rank()), "1");
  for (int other = 1; rank() == 0 && other < size(); ++other) {
    wait_for(cat(prefix_, "closed/", other), other);
  }
  store_->client.reset();
}

Error StoreGroup::lost_to_library(const std::string& why) const {
  return lost(cat("the store at ", place_, ", which ends with rank 0: ", why));
}

void StoreGroup::do_abandon() noexcept {
  try {
    // Only the first to leave is the cause.
    if (store_->client) store_->client->compareSet(prefix_ + "left", "", std::to_string(rank()));
  } catch (const std::exception&) {
    // The store has ended too, which the others see.
    store_->client.reset();
  }
}

}  // namespace ldm::train
