#include "ldm/io/pickle_value.h"

namespace ldm {

PickleValue PickleArena::make_tuple(std::span<const PickleValue> items) {
  const PickleValue tuple{PickleKind::kTuple, false,
                          static_cast<std::uint32_t>(tuple_items_.size()), items.size()};
  tuple_items_.insert(tuple_items_.end(), items.begin(), items.end());
  return tuple;
}

PickleValue PickleArena::make_container(PickleKind kind, bool is_ordered) {
  containers_.emplace_back();
  return {kind, is_ordered, static_cast<std::uint32_t>(containers_.size() - 1), 0};
}

void PickleArena::add(const PickleValue& container, const PickleValue& key,
                      const PickleValue& value) {
  const auto index = static_cast<std::uint32_t>(items_.size());
  items_.push_back({key, value, kEnd});
  Container& owner = containers_[container.index];
  if (owner.last == kEnd) {
    owner.first = index;
  } else {
    items_[owner.last].next = index;
  }
  owner.last = index;
}

PickleValue PickleArena::make_storage(const PickleStorage& storage) {
  storages_.push_back(storage);
  return {PickleKind::kStorage, false, static_cast<std::uint32_t>(storages_.size() - 1), 0};
}

PickleValue PickleArena::make_tensor(std::uint32_t storage, std::int64_t offset,
                                     std::span<const std::int64_t> sizes,
                                     std::span<const std::int64_t> strides) {
  tensors_.push_back({storage, static_cast<std::uint32_t>(sizes.size()), numbers_.size(), offset});
  numbers_.insert(numbers_.end(), sizes.begin(), sizes.end());
  numbers_.insert(numbers_.end(), strides.begin(), strides.end());
  return {PickleKind::kTensor, false, static_cast<std::uint32_t>(tensors_.size() - 1), 0};
}

std::string_view PickleArena::text(const PickleValue& value) const {
  return {reinterpret_cast<const char*>(pickle_.data()) + value.index,
          static_cast<std::size_t>(value.data)};
}

std::span<const PickleValue> PickleArena::tuple(const PickleValue& value) const {
  return std::span(tuple_items_).subspan(value.index, static_cast<std::size_t>(value.data));
}

const PickleItem* PickleArena::first(const PickleValue& container) const {
  const std::uint32_t index = containers_[container.index].first;
  return index == kEnd ? nullptr : &items_[index];
}

const PickleItem* PickleArena::after(const PickleItem& item) const {
  return item.next == kEnd ? nullptr : &items_[item.next];
}

std::span<const std::int64_t> PickleArena::sizes(const PickleTensor& tensor) const {
  return std::span(numbers_).subspan(tensor.dims, tensor.rank);
}

std::span<const std::int64_t> PickleArena::strides(const PickleTensor& tensor) const {
  return std::span(numbers_).subspan(tensor.dims + tensor.rank, tensor.rank);
}

}  // namespace ldm
