#include "ldm/io/torch_state_dict.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_set>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr std::size_t kMaxNameBytes = 4096;
constexpr std::size_t kMaxEntries = 1'000'000;
constexpr std::size_t kMaxAllNames = std::size_t{64} << 20U;

class Flattener {
 public:
  Flattener(const PickleArena& arena, std::size_t max_depth, TorchStateDict& out)
      : arena_(arena), max_depth_(max_depth), out_(out) {}

  void add_dict(const PickleValue& dict, const std::string& prefix, std::size_t depth) {
    if (depth > max_depth_) {
      throw Error::model_rule("E_CKPT_LIMIT", cat("dicts nested deeper than ", max_depth_));
    }
    std::unordered_set<std::string> keys;
    for (const PickleItem* item = arena_.first(dict); item != nullptr; item = arena_.after(*item)) {
      if (++entries_ > kMaxEntries) {
        throw Error::model_rule("E_CKPT_LIMIT", cat("more than ", kMaxEntries, " entries"));
      }
      const auto key = key_text(item->key);
      if (!key) continue;
      if (!keys.insert(*key).second) throw twice(prefix + *key);
      const bool has_name =
          item->key.kind == PickleKind::kText || item->key.kind == PickleKind::kInt;
      if (has_name) add_value(item->value, prefix + *key, depth);
    }
  }

  /// What tells one key of a dict from another: a truth value or whole fraction is equal to an
  /// integer in Python and would replace it. Nothing for keys that are never equal to one.
  std::optional<std::string> key_text(const PickleValue& key) const {
    if (key.kind == PickleKind::kText) return std::string(arena_.text(key));
    if (key.kind == PickleKind::kInt || key.kind == PickleKind::kBool) {
      return std::to_string(static_cast<std::int64_t>(key.data));
    }
    constexpr double kBeyondIntegers = 9.2e18;
    const double fraction = std::bit_cast<double>(key.data);
    if (key.kind == PickleKind::kFloat && std::abs(fraction) < kBeyondIntegers &&
        std::trunc(fraction) == fraction) {
      return std::to_string(static_cast<std::int64_t>(fraction));
    }
    return std::nullopt;
  }

  static Error twice(const std::string& name) {
    return Error::model_rule("E_CKPT_DUP", "\"" + name + "\" appears twice",
                             "readers disagree which one counts: save the checkpoint again");
  }

 private:
  void add_value(const PickleValue& value, std::string name, std::size_t depth) {
    name_bytes_ += name.size();
    if (name.size() > kMaxNameBytes || name_bytes_ > kMaxAllNames) {
      throw Error::model_rule("E_CKPT_LIMIT",
                              cat("a name of ", name.size(), " bytes, ", name_bytes_, " in all"));
    }
    if (value.kind == PickleKind::kTensor) {
      add_tensor(value, std::move(name));
    } else if (value.kind == PickleKind::kDict) {
      add_dict(value, name + ".", depth + 1);
    } else if (value.kind == PickleKind::kInt) {
      out_.integers.insert_or_assign(std::move(name), static_cast<std::int64_t>(value.data));
    }
  }

  void add_tensor(const PickleValue& value, std::string name) {
    const PickleTensor& tensor = arena_.tensor(value);
    const PickleStorage& storage = arena_.storage(tensor.storage);
    const auto sizes = arena_.sizes(tensor);
    const auto strides = arena_.strides(tensor);
    out_.tensors.push_back({std::move(name),
                            storage.dtype,
                            {sizes.begin(), sizes.end()},
                            {strides.begin(), strides.end()},
                            tensor.offset,
                            std::string(storage.key),
                            storage.numel});
  }

  const PickleArena& arena_;
  std::size_t max_depth_;
  TorchStateDict& out_;
  std::size_t entries_ = 0;
  std::size_t name_bytes_ = 0;
};

// The value of the root's "state_dict", or null; the root's integers are added to `out`.
const PickleValue* read_root(const PickleArena& arena, const PickleValue& root,
                             TorchStateDict& out) {
  const Flattener names(arena, 1, out);
  std::unordered_set<std::string> keys;
  const PickleValue* state_dict = nullptr;
  for (const PickleItem* item = arena.first(root); item != nullptr; item = arena.after(*item)) {
    const auto key = names.key_text(item->key);
    if (!key) continue;
    if (!keys.insert(*key).second) throw Flattener::twice(*key);
    if (*key == "state_dict") state_dict = &item->value;
    if (item->value.kind == PickleKind::kInt) {
      out.integers.insert_or_assign(*key, static_cast<std::int64_t>(item->value.data));
    }
  }
  return state_dict;
}

}  // namespace

TorchStateDict read_torch_state_dict(std::span<const std::byte> pickle,
                                     const PickleLimits& limits) {
  const Pickle parsed = parse_pickle(pickle, limits);
  if (parsed.root.kind != PickleKind::kDict) {
    throw Error::model_rule("E_CKPT_ROOT", "the checkpoint holds no dict of tensors",
                            "save a state_dict, not a whole model or a single tensor");
  }
  TorchStateDict outer;
  const PickleValue* inner = read_root(parsed.arena, parsed.root, outer);
  if (inner != nullptr && inner->kind != PickleKind::kDict) {
    throw Error::model_rule("E_CKPT_ROOT", "\"state_dict\" is no dict of tensors",
                            "save a state_dict, not a whole model or a single tensor");
  }
  TorchStateDict result;
  Flattener(parsed.arena, limits.max_depth, result)
      .add_dict(inner != nullptr ? *inner : parsed.root, {}, 1);
  for (const PickleStorage& storage : parsed.arena.storages()) {
    result.storages.push_back({std::string(storage.key), storage.dtype, storage.numel});
  }
  result.pickle_bytes = parsed.bytes;
  for (const auto& [name, value] : outer.integers) result.integers.insert_or_assign(name, value);
  std::sort(result.tensors.begin(), result.tensors.end(),
            [](const TorchTensor& a, const TorchTensor& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(
      result.tensors.begin(), result.tensors.end(),
      [](const TorchTensor& a, const TorchTensor& b) { return a.name == b.name; });
  if (twice != result.tensors.end()) throw Flattener::twice(twice->name);
  return result;
}

}  // namespace ldm
