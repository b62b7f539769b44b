#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ldm/io/dtype.h"

namespace ldm {

/// What a value of a pickle is described as. Nothing is ever constructed or called.
enum class PickleKind : std::uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,
  kTuple,
  kList,
  kDict,
  kStorage,  ///< a persistent id: the bytes of one record
  kTensor,   ///< a view of a storage
  kGlobal,   ///< an allow-listed name
  kOpaque,   ///< an allow-listed object whose contents are of no interest
};

/// A value, or a handle to one in a PickleArena. Copying a handle shares the value.
struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  bool is_ordered = false;  ///< a dict made as collections.OrderedDict
  std::uint32_t index = 0;  ///< place in the arena; of a text, its first byte in the pickle
  std::uint64_t data = 0;   ///< integer, bits of a float, or how many bytes or items
};

/// `("storage", T, key, location, numel)`.
struct PickleStorage {
  DType dtype = DType::F32;
  std::string_view key;  ///< digits; the record is "data/KEY"
  std::int64_t numel = 0;
};

/// A checked view: every element lies inside the storage.
struct PickleTensor {
  std::uint32_t storage = 0;
  std::uint32_t rank = 0;
  std::size_t dims = 0;  ///< where its sizes and then its strides stand among the arena's numbers
  std::int64_t offset = 0;  ///< elements
};

struct PickleItem {
  PickleValue key;  ///< unused in lists
  PickleValue value;
  std::uint32_t next = 0;  ///< the following item, or PickleArena::kEnd
};

/// Holds the values of one pickle in a few flat arrays, so that memory grows with the pickle's
/// bytes and no faster. Keeps a view of the pickle for its texts.
class PickleArena {
 public:
  static constexpr std::uint32_t kEnd = static_cast<std::uint32_t>(-1);

  explicit PickleArena(std::span<const std::byte> pickle) : pickle_(pickle) {}

  PickleValue make_tuple(std::span<const PickleValue> items);
  PickleValue make_container(PickleKind kind, bool is_ordered = false);
  /// Adds an item to a list (`key` unused) or dict; later items of the same key win in Python.
  void add(const PickleValue& container, const PickleValue& key, const PickleValue& value);
  PickleValue make_storage(const PickleStorage& storage);
  PickleValue make_tensor(std::uint32_t storage, std::int64_t offset,
                          std::span<const std::int64_t> sizes,
                          std::span<const std::int64_t> strides);

  std::string_view text(const PickleValue& value) const;
  std::span<const PickleValue> tuple(const PickleValue& value) const;
  /// The first item of a list or dict, or null.
  const PickleItem* first(const PickleValue& container) const;
  /// The item after `item`, or null.
  const PickleItem* after(const PickleItem& item) const;
  const PickleStorage& storage(std::size_t index) const { return storages_[index]; }
  const std::vector<PickleStorage>& storages() const { return storages_; }
  const PickleTensor& tensor(const PickleValue& value) const { return tensors_[value.index]; }
  std::span<const std::int64_t> sizes(const PickleTensor& tensor) const;
  std::span<const std::int64_t> strides(const PickleTensor& tensor) const;

 private:
  struct Container {
    std::uint32_t first = kEnd;
    std::uint32_t last = kEnd;
  };

  std::span<const std::byte> pickle_;
  std::vector<PickleValue> tuple_items_;
  std::vector<Container> containers_;
  std::vector<PickleItem> items_;
  std::vector<PickleStorage> storages_;
  std::vector<PickleTensor> tensors_;
  std::vector<std::int64_t> numbers_;
};

}  // namespace ldm
