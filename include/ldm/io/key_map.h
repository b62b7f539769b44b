#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ldm {

/// Renames one run of whole dot-separated segments wherever it stands: {"proj_attn", "to_out.0"}.
struct KeyRule {
  std::string_view from;
  std::string_view to;
};

/// How one component's tensors are named in files, as data: the only place that knows names other
/// than diffusers'. Afterwards only diffusers' names exist in the process.
struct KeyMap {
  std::string_view class_name;  ///< CLIPTextModel, AutoencoderKL, …
  std::string_view prefix;      ///< put before keys that start with one of `bare`
  std::span<const std::string_view> bare;
  std::span<const KeyRule> rules;
  /// Keys, or prefixes of keys, that files carry and no module needs.
  std::span<const std::string_view> ignored;

  /// The name inside this process of a file's `key`; nothing for one to ignore.
  std::optional<std::string> rename(std::string_view key) const;
};

/// The map of a diffusers folder's component of that class; one that renames nothing for a class
/// whose files have always had diffusers' names.
const KeyMap& key_map(std::string_view class_name);

}  // namespace ldm
