#include "ldm/io/original_layout.h"

#include <algorithm>
#include <optional>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

std::string dotted(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return cat(a, b);
  return cat(a, '.', b);
}

/// `key` below `prefix`: "" for the prefix itself, nothing for a key that is not below it.
std::optional<std::string_view> below(std::string_view key, std::string_view prefix) {
  if (prefix.empty()) return key;
  if (!key.starts_with(prefix)) return std::nullopt;
  key.remove_prefix(prefix.size());
  if (key.empty()) return key;
  if (key.front() != '.') return std::nullopt;
  return key.substr(1);
}

/// A key of one layout found in the tables, and its name in the other.
struct Match {
  const LayoutBlock* block;
  const LeafRule* leaf;
  std::string name;
};

/// Finds keys' blocks by their prefix in one of the two layouts.
class Translator {
 public:
  Translator(const LayoutBlocks& blocks, bool from_original) : from_original_(from_original) {
    for (const LayoutBlock& block : blocks) {
      by_prefix_.emplace(from_original ? block.original : block.diffusers, &block);
    }
  }

  /// All names of the other layout: several for one that joins tensors there, none if unknown.
  std::vector<Match> translate(std::string_view key) const {
    std::vector<Match> matches;
    for (std::size_t end = key.size(); end != std::string_view::npos && end > 0;
         end = key.rfind('.', end - 1)) {
      const auto [first, last] = by_prefix_.equal_range(key.substr(0, end));
      for (auto at = first; at != last; ++at) {
        match_leaves(*at->second, end == key.size() ? "" : key.substr(end + 1), matches);
      }
      if (!matches.empty()) break;
    }
    return matches;
  }

 private:
  void match_leaves(const LayoutBlock& block, std::string_view rest,
                    std::vector<Match>& matches) const {
    for (const LeafRule& leaf : block.leaves) {
      // "Everything else" comes last and only for what no row before it named.
      const bool everything = leaf.original.empty();
      if (everything && !matches.empty()) return;
      const auto tail = below(rest, from_original_ ? leaf.original : leaf.diffusers);
      if (!tail) continue;
      const std::string inner = dotted(from_original_ ? leaf.diffusers : leaf.original, *tail);
      matches.push_back(
          {&block, &leaf, dotted(from_original_ ? block.diffusers : block.original, inner)});
    }
  }

  bool from_original_;
  std::multimap<std::string, const LayoutBlock*, std::less<>> by_prefix_;
};

/// The shape without (or with) the dimensions of size 1 that the original's weight has more.
std::vector<std::int64_t> reshaped(std::vector<std::int64_t> shape, const LeafRule& leaf,
                                   bool to_original) {
  constexpr std::size_t kMatrix = 2;
  if (leaf.trailing == 0 || shape.size() < kMatrix) return shape;
  while (shape.size() > kMatrix && shape.back() == 1) shape.pop_back();
  if (to_original && shape.size() == kMatrix) {
    shape.resize(kMatrix + static_cast<std::size_t>(leaf.trailing), 1);
  }
  return shape;
}

/// Rows of one head's share of a part; Error::model where they cannot be equal.
std::int64_t rows_a_head(const TensorInfo& info, std::int64_t shares) {
  const std::int64_t rows = info.shape.empty() ? 0 : info.shape.front();
  if (rows > 0 && rows % shares == 0) return rows / shares;
  throw Error::model(cat("tensor \"", info.name, "\" ", describe(info), " cannot be cut into ",
                         shares, " equal parts"));
}

/// The part of a joined tensor that is one of diffusers': its rows, head by head.
void add_part(RenamedTensors& view, const TensorInfo& info, const std::string& file_key,
              const Match& match) {
  const std::int64_t heads = match.block->heads;
  const std::int64_t parts = match.leaf->parts;
  const std::int64_t rows = rows_a_head(info, heads * parts);
  const std::uint64_t run = info.byte_size() / static_cast<std::uint64_t>(heads * parts);
  std::vector<TensorPiece> pieces;
  for (std::int64_t head = 0; head < heads; ++head) {
    const auto index = static_cast<std::uint64_t>(head * parts + match.leaf->part);
    pieces.push_back({file_key, index * run, run});
  }
  std::vector<std::int64_t> shape = reshaped(info.shape, *match.leaf, false);
  shape.front() = rows * heads;
  view.add(match.name, std::move(shape), std::move(pieces));
}

/// diffusers' tensors that the original joins into one.
struct Joined {
  const LayoutBlock* block = nullptr;
  const LeafRule* leaf = nullptr;
  std::vector<std::string> sources;  ///< by part; "" while not seen
};

void add_joined(RenamedTensors& view, const TensorSource& source, const std::string& name,
                const Joined& joined) {
  for (const std::string& part : joined.sources) {
    if (part.empty()) throw Error::model(cat("\"", name, "\" needs all parts, and one is missing"));
  }
  const TensorInfo& first = *source.find(joined.sources.front());
  const std::int64_t heads = joined.block->heads;
  rows_a_head(first, heads);
  const std::uint64_t run = first.byte_size() / static_cast<std::uint64_t>(heads);
  std::vector<TensorPiece> pieces;
  for (std::int64_t head = 0; head < heads; ++head) {
    for (const std::string& part : joined.sources) {
      pieces.push_back({part, static_cast<std::uint64_t>(head) * run, run});
    }
  }
  std::vector<std::int64_t> shape = reshaped(first.shape, *joined.leaf, true);
  shape.front() *= static_cast<std::int64_t>(joined.sources.size());
  view.add(name, std::move(shape), std::move(pieces));
}

}  // namespace

LayoutKeys keys_below(const TensorSource& source, std::string_view prefix) {
  LayoutKeys keys;
  for (std::string& name : source.names()) {
    if (!name.starts_with(prefix)) continue;
    std::string key = name.substr(prefix.size());
    keys.emplace(std::move(key), std::move(name));
  }
  return keys;
}

bool has_block(const LayoutKeys& keys, std::string_view prefix) {
  const auto at = keys.lower_bound(prefix);
  if (at == keys.end()) return false;
  if (at->first == prefix) return true;
  const auto inside = keys.lower_bound(cat(prefix, '.'));
  return inside != keys.end() && below(inside->first, prefix).has_value();
}

std::size_t count_blocks(const LayoutKeys& keys, std::string_view prefix) {
  std::size_t count = 0;
  while (has_block(keys, cat(prefix, '.', count))) ++count;
  return count;
}

const TensorInfo& info_of(const TensorSource& source, const LayoutKeys& keys,
                          std::string_view key) {
  const auto found = keys.find(key);
  if (found != keys.end()) {
    if (const TensorInfo* info = source.find(found->second)) return *info;
  }
  throw Error::model(cat("no tensor \"…", key, "\""), "the file is incomplete, or no such model");
}

void add_from_original(RenamedTensors& view, const TensorSource& source, const LayoutKeys& keys,
                       const LayoutBlocks& blocks) {
  const Translator translator(blocks, true);
  for (const auto& [key, file_key] : keys) {
    const TensorInfo& info = *source.find(file_key);
    const std::vector<Match> matches = translator.translate(key);
    if (matches.empty()) view.add_whole(key, file_key);
    for (const Match& match : matches) {
      if (match.leaf->parts > 1) {
        add_part(view, info, file_key, match);
      } else {
        view.add(match.name, reshaped(info.shape, *match.leaf, false),
                 {{file_key, 0, info.byte_size()}});
      }
    }
  }
}

std::vector<std::string> add_to_original(RenamedTensors& view, const TensorSource& source,
                                         const LayoutKeys& keys, const LayoutBlocks& blocks,
                                         const std::string& prefix) {
  const Translator translator(blocks, false);
  std::vector<std::string> unknown;
  std::map<std::string, Joined> joined;
  for (const auto& [key, file_key] : keys) {
    const std::vector<Match> matches = translator.translate(key);
    if (matches.empty()) {
      unknown.push_back(file_key);
      continue;
    }
    const Match& match = matches.front();
    if (match.leaf->parts > 1) {
      Joined& whole = joined[prefix + match.name];
      whole.block = match.block;
      whole.leaf = match.leaf;
      whole.sources.resize(static_cast<std::size_t>(match.leaf->parts));
      whole.sources.at(static_cast<std::size_t>(match.leaf->part)) = file_key;
      continue;
    }
    const TensorInfo& info = *source.find(file_key);
    view.add(prefix + match.name, reshaped(info.shape, *match.leaf, true),
             {{file_key, 0, info.byte_size()}});
  }
  for (const auto& [name, whole] : joined) add_joined(view, source, name, whole);
  return unknown;
}

}  // namespace ldm
