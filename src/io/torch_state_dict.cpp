#include "ldm/io/torch_state_dict.h"

#include <algorithm>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr std::size_t kMaxNameBytes = 4096;
constexpr std::size_t kMaxEntries = 1'000'000;

class Flattener {
 public:
  Flattener(const PickleArena& arena, std::size_t max_depth, TorchStateDict& out)
      : arena_(arena), max_depth_(max_depth), out_(out) {}

  void add_dict(const PickleValue& dict, const std::string& prefix, std::size_t depth) {
    if (depth > max_depth_) {
      throw Error::model_rule("E_CKPT_LIMIT", cat("dicts nested deeper than ", max_depth_));
    }
    for (const PickleItem* item = arena_.first(dict); item != nullptr; item = arena_.after(*item)) {
      if (++entries_ > kMaxEntries) {
        throw Error::model_rule("E_CKPT_LIMIT", cat("more than ", kMaxEntries, " entries"));
      }
      const PickleKind kind = item->value.kind;
      const bool counts =
          kind == PickleKind::kTensor || kind == PickleKind::kDict || kind == PickleKind::kInt;
      std::string name = prefix;
      if (!counts || !append_key(item->key, name)) continue;
      if (kind == PickleKind::kTensor)
        add_tensor(item->value, std::move(name));
      else if (kind == PickleKind::kDict)
        add_dict(item->value, name + ".", depth + 1);
      else
        out_.integers.insert_or_assign(std::move(name),
                                       static_cast<std::int64_t>(item->value.data));
    }
  }

 private:
  bool append_key(const PickleValue& key, std::string& name) const {
    if (key.kind == PickleKind::kText) {
      name += arena_.text(key);
    } else if (key.kind == PickleKind::kInt) {
      name += std::to_string(static_cast<std::int64_t>(key.data));
    } else {
      return false;
    }
    if (name.size() > kMaxNameBytes) {
      throw Error::model_rule("E_CKPT_LIMIT", cat("a name of ", name.size(), " bytes"));
    }
    return true;
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
};

// The value of a text key; a key twice counts as in Python, the last wins.
const PickleValue* find_key(const PickleArena& arena, const PickleValue& dict,
                            std::string_view key) {
  const PickleValue* found = nullptr;
  for (const PickleItem* item = arena.first(dict); item != nullptr; item = arena.after(*item)) {
    if (item->key.kind == PickleKind::kText && arena.text(item->key) == key) found = &item->value;
  }
  return found;
}

void add_root_integers(const PickleArena& arena, const PickleValue& root, TorchStateDict& out) {
  for (const PickleItem* item = arena.first(root); item != nullptr; item = arena.after(*item)) {
    if (item->key.kind == PickleKind::kText && item->value.kind == PickleKind::kInt) {
      out.integers.insert_or_assign(std::string(arena.text(item->key)),
                                    static_cast<std::int64_t>(item->value.data));
    }
  }
}

}  // namespace

TorchStateDict read_torch_state_dict(std::span<const std::byte> pickle,
                                     const PickleLimits& limits) {
  const Pickle parsed = parse_pickle(pickle, limits);
  if (parsed.root.kind != PickleKind::kDict) {
    throw Error::model_rule("E_CKPT_ROOT", "the checkpoint holds no dict of tensors",
                            "save a state_dict, not a whole model or a single tensor");
  }
  const PickleValue* inner = find_key(parsed.arena, parsed.root, "state_dict");
  if (inner != nullptr && inner->kind != PickleKind::kDict) {
    throw Error::model_rule("E_CKPT_ROOT", "\"state_dict\" is no dict of tensors",
                            "save a state_dict, not a whole model or a single tensor");
  }
  TorchStateDict result;
  Flattener(parsed.arena, limits.max_depth, result)
      .add_dict(inner != nullptr ? *inner : parsed.root, {}, 1);
  add_root_integers(parsed.arena, parsed.root, result);
  std::sort(result.tensors.begin(), result.tensors.end(),
            [](const TorchTensor& a, const TorchTensor& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(
      result.tensors.begin(), result.tensors.end(),
      [](const TorchTensor& a, const TorchTensor& b) { return a.name == b.name; });
  if (twice != result.tensors.end()) {
    throw Error::model_rule("E_CKPT_DUP", "tensor \"" + twice->name + "\" appears twice",
                            "readers disagree which one counts: save the checkpoint again");
  }
  return result;
}

}  // namespace ldm
