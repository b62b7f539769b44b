#include "ldm/io/pickle_objects.h"

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/pickle_globals.h"

namespace ldm {
namespace {

constexpr const char* kHint = "get the model as .safetensors, or from a source you trust";

const KnownGlobal& global_of(const PickleValue& value) { return known_globals()[value.index]; }

bool is_global(const PickleValue& value, GlobalRole role) {
  return value.kind == PickleKind::kGlobal && global_of(value).role == role;
}

std::string called(const PickleValue& callable) {
  if (callable.kind != PickleKind::kGlobal) return "something that is no function";
  return cat("\"", global_of(callable).module, " ", global_of(callable).name, "\"");
}

}  // namespace

void refuse_pickle(const char* rule, const std::string& what, std::size_t at) {
  throw Error::model_rule(rule, cat(what, " at byte ", at, " of data.pkl"), kHint);
}

PickleValue PickleObjects::reduce(const PickleValue& callable, const PickleValue& arguments,
                                  std::size_t at) {
  const bool is_opaque = callable.kind == PickleKind::kOpaque;
  if ((callable.kind != PickleKind::kGlobal && !is_opaque) ||
      arguments.kind != PickleKind::kTuple) {
    refuse_pickle("E_PKL_CALL", "a call of " + called(callable), at);
  }
  if (is_opaque) {
    // Only what --opaque-globals let in stands for a class itself.
    if (limits_.opaque_globals) return {PickleKind::kOpaque};
    refuse_pickle("E_PKL_CALL", "a call of an object", at);
  }
  const std::span<const PickleValue> given = arena_.tuple(arguments);
  switch (global_of(callable).role) {
    case GlobalRole::kOrderedDict:
      if (given.empty()) return arena_.make_container(PickleKind::kDict, true);
      if (given.size() == 1 && limits_.before_torch_1_6) return ordered_dict(given[0], at);
      break;
    case GlobalRole::kRebuildTensorV2:
      if (given.size() == 6 || given.size() == 7) return rebuild_tensor(given, at);
      break;
    case GlobalRole::kRebuildTensor:
      if (given.size() == 4) return rebuild_tensor(given, at);
      break;
    case GlobalRole::kRebuildParameter:
      if (given.size() == 3 && given[0].kind == PickleKind::kTensor) {
        check_autograd(arena_.storage(arena_.tensor(given[0]).storage).dtype, given.subspan(1), at);
        return given[0];
      }
      break;
    case GlobalRole::kOpaqueObject:
      return {PickleKind::kOpaque};
    case GlobalRole::kStorageType:
    case GlobalRole::kConstant:
      break;
  }
  refuse_pickle("E_PKL_CALL",
                cat("a call of ", called(callable), " with ", given.size(), " arguments"), at);
}

// `OrderedDict([[key, value], …])`, as Python 2 pickles one.
PickleValue PickleObjects::ordered_dict(const PickleValue& pairs, std::size_t at) {
  constexpr std::size_t kMostItems = 1'000'000;
  if (pairs.kind != PickleKind::kList) refuse_pickle("E_PKL_CALL", "a dict of no list", at);
  const PickleValue dict = arena_.make_container(PickleKind::kDict, true);
  // Adding moves the items, so that a pair's place is asked for anew each time.
  const PickleItem* item = arena_.first(pairs);
  while (item != nullptr) {
    const PickleItem pair = *item;
    const PickleItem* key =
        pair.value.kind == PickleKind::kList ? arena_.first(pair.value) : nullptr;
    const PickleItem* value = key == nullptr ? nullptr : arena_.after(*key);
    if (value == nullptr || arena_.after(*value) != nullptr) {
      refuse_pickle("E_PKL_CALL", "a dict of something other than pairs", at);
    }
    // One list may serve many dicts; memory must not grow with their product.
    if (++copied_items_ > kMostItems) {
      refuse_pickle("E_PKL_LIMIT", cat("dicts of more than ", kMostItems, " pairs"), at);
    }
    arena_.add(dict, PickleValue(key->value), PickleValue(value->value));
    item = arena_.after(pair);
  }
  return dict;
}

PickleValue PickleObjects::new_object(const PickleValue& type, const PickleValue& arguments,
                                      std::size_t at) {
  const bool opaque = is_global(type, GlobalRole::kOpaqueObject) ||
                      (type.kind == PickleKind::kOpaque && limits_.opaque_globals);
  if (opaque && arguments.kind == PickleKind::kTuple) return {PickleKind::kOpaque};
  if (is_global(type, GlobalRole::kOrderedDict)) return reduce(type, arguments, at);
  refuse_pickle("E_PKL_CALL", "a new object of " + called(type), at);
}

void PickleObjects::build(const PickleValue& object, const PickleValue& state, std::size_t at) {
  if (object.kind == PickleKind::kOpaque) return;
  const bool is_ordered_dict = object.kind == PickleKind::kDict && object.is_ordered;
  if (is_ordered_dict && state.kind == PickleKind::kDict) return;
  refuse_pickle("E_PKL_CALL", "BUILD on something that has no state", at);
}

PickleValue PickleObjects::storage(const PickleValue& id, std::size_t at) {
  const std::size_t expected = limits_.before_torch_1_6 ? 6 : 5;
  constexpr std::size_t kMostDigits = 20;
  if (id.kind != PickleKind::kTuple || id.data != expected) {
    refuse_pickle("E_PKL_STORAGE", "a persistent id that is no storage", at);
  }
  const std::span<const PickleValue> parts = arena_.tuple(id);
  if (parts.back().kind != (limits_.before_torch_1_6 ? PickleKind::kNone : PickleKind::kInt)) {
    refuse_pickle("E_PKL_STORAGE", "a persistent id that is no storage", at);
  }
  if (parts[0].kind != PickleKind::kText || arena_.text(parts[0]) != "storage" ||
      !is_global(parts[1], GlobalRole::kStorageType) || parts[2].kind != PickleKind::kText ||
      parts[3].kind != PickleKind::kText || parts[4].kind != PickleKind::kInt) {
    refuse_pickle("E_PKL_STORAGE", "a persistent id that is no storage", at);
  }
  const std::string_view key = arena_.text(parts[2]);
  const bool is_number =
      !key.empty() && key.size() <= kMostDigits &&
      std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number) refuse_pickle("E_PKL_STORAGE", cat("the storage key \"", key, "\""), at);
  const PickleStorage storage{global_of(parts[1]).dtype, key,
                              static_cast<std::int64_t>(parts[4].data)};
  if (storage.numel < 0)
    refuse_pickle("E_PKL_STORAGE", cat("storage ", key, " of ", storage.numel), at);
  const auto known = storage_of_key_.find(key);
  if (known == storage_of_key_.end()) {
    const PickleValue made = arena_.make_storage(storage);
    storage_of_key_.emplace(key, made.index);
    return made;
  }
  const PickleStorage& before = arena_.storage(known->second);
  if (before.dtype != storage.dtype || before.numel != storage.numel) {
    refuse_pickle("E_PKL_STORAGE",
                  cat("storage ", key, " as ", storage.numel, " ", dtype_name(storage.dtype),
                      " that was ", before.numel, " ", dtype_name(before.dtype), " before"),
                  at);
  }
  return {PickleKind::kStorage, false, known->second, 0};
}

std::vector<std::int64_t> PickleObjects::dimensions(const PickleValue& tuple, const char* what,
                                                    std::size_t at) {
  if (tuple.kind != PickleKind::kTuple || tuple.data > limits_.max_rank) {
    refuse_pickle("E_PKL_TENSOR",
                  cat("a tensor whose ", what, " are no tuple of at most ", limits_.max_rank), at);
  }
  std::vector<std::int64_t> numbers;
  for (const PickleValue& item : arena_.tuple(tuple)) {
    const auto number = static_cast<std::int64_t>(item.data);
    if (item.kind != PickleKind::kInt || number < 0) {
      refuse_pickle("E_PKL_TENSOR", cat("a tensor with negative or no ", what), at);
    }
    numbers.push_back(number);
  }
  return numbers;
}

PickleValue PickleObjects::rebuild_tensor(std::span<const PickleValue> arguments, std::size_t at) {
  const PickleValue& of = arguments[0];
  const auto offset = static_cast<std::int64_t>(arguments[1].data);
  if (of.kind != PickleKind::kStorage || arguments[1].kind != PickleKind::kInt || offset < 0) {
    refuse_pickle("E_PKL_TENSOR", "a tensor without storage or with a bad offset", at);
  }
  constexpr std::size_t kAutograd = 4;
  constexpr std::size_t kMetadata = 6;
  if (arguments.size() > kAutograd) {
    check_autograd(arena_.storage(of.index).dtype, arguments.subspan(kAutograd, 2), at);
  }
  if (arguments.size() > kMetadata && arguments[kMetadata].kind != PickleKind::kNone &&
      (arguments[kMetadata].kind != PickleKind::kDict ||
       arena_.first(arguments[kMetadata]) != nullptr)) {
    // Bits such as "negative" change the values.
    refuse_pickle("E_PKL_TENSOR", "a tensor with metadata", at);
  }
  const std::vector<std::int64_t> sizes = dimensions(arguments[2], "sizes", at);
  const std::vector<std::int64_t> strides = dimensions(arguments[3], "strides", at);
  if (sizes.size() != strides.size()) {
    refuse_pickle("E_PKL_TENSOR",
                  cat("a tensor of ", sizes.size(), " sizes and ", strides.size(), " strides"), at);
  }
  check_view(arena_.storage(of.index), offset, sizes, strides, at);
  return arena_.make_tensor(of.index, offset, sizes, strides);
}

// (requires_grad, hooks): without effect here, but torch refuses a file where they are wrong.
void PickleObjects::check_autograd(DType dtype, std::span<const PickleValue> arguments,
                                   std::size_t at) const {
  const bool wrong_flag =
      arguments[0].kind != PickleKind::kBool || (arguments[0].data != 0 && !is_floating(dtype));
  const bool no_hooks = arguments[1].kind == PickleKind::kNone
                            ? limits_.before_torch_1_6
                            : arguments[1].kind == PickleKind::kDict && arguments[1].is_ordered &&
                                  arena_.first(arguments[1]) == nullptr;
  if (wrong_flag || !no_hooks) refuse_pickle("E_PKL_TENSOR", "a tensor with hooks or gradient", at);
}

void PickleObjects::check_view(const PickleStorage& storage, std::int64_t offset,
                               std::span<const std::int64_t> sizes,
                               std::span<const std::int64_t> strides, std::size_t at) const {
  const auto numel = static_cast<std::uint64_t>(storage.numel);
  std::uint64_t bytes = dtype_bits(storage.dtype) / 8;
  bool is_empty = false;
  for (const std::int64_t size : sizes) {
    is_empty |= size == 0;
    const bool overflow =
        size != 0 && __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes);
    if (overflow || bytes > limits_.max_tensor_bytes) {
      refuse_pickle("E_PKL_TENSOR",
                    cat("a tensor of more than ", limits_.max_tensor_bytes, " bytes"), at);
    }
  }
  // No term has more than 126 bits and the sum never exceeds 64 when the next one is added.
  __extension__ using Wide = unsigned __int128;
  Wide last = static_cast<std::uint64_t>(offset);
  for (std::size_t i = 0; i < sizes.size() && !is_empty && last < numel; ++i) {
    last += Wide{static_cast<std::uint64_t>(sizes[i] - 1)} * static_cast<std::uint64_t>(strides[i]);
  }
  if (is_empty ? last > numel : last >= numel) {
    refuse_pickle(
        "E_PKL_TENSOR",
        cat("a tensor that reaches beyond the ", numel, " elements of storage ", storage.key), at);
  }
}

}  // namespace ldm
