#include "ldm/nn/weight_stream.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/nn/attention.h"
#include "ldm/nn/layers.h"

namespace ldm::nn {
namespace {

/// Tensors begin at multiples of it, as those of libtorch's allocators do at the least.
constexpr std::int64_t kAlignment = 256;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::int64_t bytes_of(const at::Tensor& tensor) {
  return aligned(static_cast<std::int64_t>(tensor.nbytes()));
}

/// All but those of `time_emb_proj`.
std::vector<at::Tensor> own_parameters(const torch::nn::Module& module) {
  std::vector<at::Tensor> parameters;
  for (const auto& item : module.named_parameters()) {
    if (!item.key().starts_with("time_emb_proj.")) parameters.push_back(item.value());
  }
  return parameters;
}

/// What a packed module computes with, but for numbers.
std::vector<at::Tensor> weights_of(torch::nn::Module& module) {
  std::vector<at::Tensor> weights = own_parameters(module);
  const auto add_packed = [&weights](LinearImpl& layer) {
    layer.visit_packed([&weights](const char*, const at::Tensor& packed) {
      if (packed.defined()) weights.push_back(packed);
    });
  };
  module.apply([&](torch::nn::Module& child) {
    if (auto* layer = child.as<LinearImpl>()) add_packed(*layer);
    const auto* attention = child.as<AttentionImpl>();
    if (attention == nullptr || !attention->joined()) return;
    for (const at::Tensor& weight : attention->joined()->parameters()) weights.push_back(weight);
    add_packed(*attention->joined().ptr());
  });
  std::erase_if(weights, is_unallocated);
  return weights;
}

/// `memory` [bytes] uint8 from `offset` on, in the form of `like`.
at::Tensor part_of(const at::Tensor& memory, std::int64_t offset, const at::Tensor& like) {
  return memory.narrow(0, offset, static_cast<std::int64_t>(like.nbytes()))
      .view(like.scalar_type())
      .as_strided(like.sizes(), like.strides());
}

/// Memory on the device for the weights of one module at a time.
struct Slot {
  at::Tensor memory;                 ///< [bytes] uint8
  std::optional<std::size_t> holds;  ///< the module whose weights are there or on their way
  std::optional<c10::Event> copied;  ///< none on a CPU
  std::optional<c10::Event> used;    ///< by all that was launched while it was the current one
};

/// The copies into slots: on a stream of their own, in order with the kernels that read the slots.
/// On a CPU each is made at once.
class Copies {
 public:
  explicit Copies(c10::Device device) : device_(device) {
    if (!device.is_cpu()) stream_ = guard().getStreamFromGlobalPool(device, false);
  }

  Slot make_slot(std::int64_t bytes) const {
    Slot slot;
    slot.memory = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(device_));
    if (!stream_) return slot;
    slot.copied.emplace(device_.type());
    slot.used.emplace(device_.type());
    guard().recordDataPtrOnStream(slot.memory.storage().data_ptr(), *stream_);
    // Its memory may have been another's until now.
    mark_used(slot);
    return slot;
  }

  /// [bytes] uint8 that are copied beside what the host does.
  at::Tensor make_host(std::int64_t bytes) const {
    const auto options = at::TensorOptions().dtype(at::kByte);
    return at::empty({bytes}, stream_ ? options.pinned_memory(true) : options);
  }

  /// What was launched so far may read the slot, and nothing else will.
  void mark_used(Slot& slot) const {
    if (stream_) slot.used->record(guard().getStream(device_));
  }

  /// Begins when nothing reads the slot any more.
  void start(Slot& slot, const at::Tensor& host) const {
    const at::Tensor place = slot.memory.narrow(0, 0, host.size(0));
    if (!stream_) {
      place.copy_(host);
      return;
    }
    slot.used->block(*stream_);
    const c10::StreamGuard on_stream(*stream_);
    place.copy_(host, /*non_blocking=*/true);
    slot.copied->record(*stream_);
  }

  /// What is launched from now on finds the slot filled.
  void await(const Slot& slot) const {
    if (stream_) slot.copied->block(guard().getStream(device_));
  }

 private:
  c10::impl::VirtualGuardImpl guard() const { return {device_.type()}; }

  c10::Device device_;
  std::optional<c10::Stream> stream_;
};

/// A module whose weights are streamed.
struct Unit {
  Streamed* module = nullptr;
  std::vector<at::Tensor> weights;
  at::Tensor host;                               ///< [bytes] uint8
  std::array<std::vector<at::Tensor>, 2> views;  ///< what the weights are in each slot
  std::size_t slot = 0;                          ///< the one they are views of
  std::optional<std::size_t> next;               ///< the module that was used after it

  void point_to(std::size_t number) {
    if (slot == number) return;
    slot = number;
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i].set_data(views[slot][i]);
  }
};

}  // namespace

struct WeightStream::Impl {
  explicit Impl(c10::Device device) : copies(device) {}

  Copies copies;
  std::array<Slot, 2> slots;
  std::size_t current = 0;  ///< the slot of the module used last
  std::vector<Unit> units;
  std::optional<std::size_t> last;  ///< the module used last
  std::mutex adopting;

  bool holds(std::size_t slot, std::size_t number) const { return slots[slot].holds == number; }

  void fetch(std::size_t number, std::size_t slot) {
    slots[slot].holds.reset();
    copies.start(slots[slot], units[number].host);
    slots[slot].holds = number;
  }
};

StreamedBytes streamed_bytes(const torch::nn::Module& module, c10::ScalarType dtype) {
  StreamedBytes bytes;
  if (dynamic_cast<const Streamed*>(&module) == nullptr) {
    for (const auto& child : module.children()) {
      const StreamedBytes below = streamed_bytes(*child, dtype);
      bytes.all += below.all;
      bytes.largest = std::max(bytes.largest, below.largest);
    }
    return bytes;
  }
  const auto size = static_cast<std::int64_t>(c10::elementSize(dtype));
  for (const at::Tensor& parameter : own_parameters(module)) {
    bytes.all += aligned(parameter.numel() * size);
  }
  bytes.largest = bytes.all;
  return bytes;
}

void Streamed::bring() const { stream->use(number); }

WeightStream::WeightStream(c10::Device device, std::int64_t slot_bytes)
    : impl_(std::make_unique<Impl>(device)) {
  const c10::InferenceMode ordinary(false);
  for (Slot& slot : impl_->slots) slot = impl_->copies.make_slot(slot_bytes);
}

WeightStream::~WeightStream() {
  for (const Unit& unit : impl_->units) unit.module->stream = nullptr;
}

void WeightStream::adopt(torch::nn::Module& module) {
  // Weights must stay ordinary tensors.
  const c10::InferenceMode ordinary(false);
  const c10::AutoGradMode no_grad(false);
  Impl& own = *impl_;
  Unit unit;
  unit.module = dynamic_cast<Streamed*>(&module);
  unit.weights = weights_of(module);
  std::int64_t bytes = 0;
  for (const at::Tensor& weight : unit.weights) bytes += bytes_of(weight);
  if (unit.module == nullptr || bytes > own.slots[0].memory.size(0)) {
    throw Error::internal(cat("a module of ", bytes, " bytes cannot be streamed by slots of ",
                              own.slots[0].memory.size(0)));
  }
  unit.host = own.copies.make_host(bytes);
  std::int64_t offset = 0;
  for (const at::Tensor& weight : unit.weights) {
    part_of(unit.host, offset, weight).copy_(weight);
    for (std::size_t slot = 0; slot < own.slots.size(); ++slot) {
      unit.views[slot].push_back(part_of(own.slots[slot].memory, offset, weight));
    }
    offset += bytes_of(weight);
    weight.set_data(unit.views[unit.slot].back());
  }
  const std::lock_guard lock(own.adopting);
  unit.module->stream = this;
  unit.module->number = own.units.size();
  own.units.push_back(std::move(unit));
}

void WeightStream::use(std::size_t number) {
  const c10::AutoGradMode no_grad(false);
  Impl& own = *impl_;
  own.copies.mark_used(own.slots[own.current]);
  if (own.last) own.units[*own.last].next = number;
  own.last = number;
  if (!own.holds(own.current, number)) {
    own.current = 1 - own.current;
    if (!own.holds(own.current, number)) own.fetch(number, own.current);
  }
  own.copies.await(own.slots[own.current]);
  Unit& unit = own.units[number];
  unit.point_to(own.current);
  const std::size_t other = 1 - own.current;
  if (unit.next && *unit.next != number && !own.holds(other, *unit.next)) {
    own.fetch(*unit.next, other);
  }
}

}  // namespace ldm::nn
