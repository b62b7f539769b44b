#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ldm::train {

/// Triplets with a judgement each.
struct TwoAfcBatch {
  at::Tensor ref;    ///< [B, 3, H, W] in [-1, 1], the originals
  at::Tensor p0;     ///< one distortion of each
  at::Tensor p1;     ///< the other
  at::Tensor judge;  ///< [B] share of judges for whom p1 is nearer, in [0, 1]
};

/// Pairs with a judgement each.
struct JndBatch {
  at::Tensor p0;    ///< [B, 3, H, W] in [-1, 1]
  at::Tensor p1;    ///< likewise
  at::Tensor same;  ///< [B] share of judges who saw no difference, in [0, 1]
};

/// One sort of item of a set: a folder of files that belong together by their names' stems.
class JudgedFiles {
 public:
  /// DIR/PART/STEM.png|jpg for each picture part and DIR/JUDGEMENT/STEM.npy, sorted by stem.
  /// Error::input for a missing folder, an empty one, or a stem that one of the folders lacks.
  JudgedFiles(std::filesystem::path folder, std::vector<std::string> parts, std::string judgement);

  std::int64_t size() const { return static_cast<std::int64_t>(stems_.size()); }
  /// The pictures of `part` of these items, [B, 3, H, W] in [-1, 1], resized to `side` pixels a
  /// side unless that is 0. Error::input for an unreadable picture or sizes that differ.
  at::Tensor pictures(std::size_t part, std::span<const std::int64_t> items,
                      std::int64_t side) const;
  /// The judgements of these items, [B]; Error::input for a file that does not hold one number in
  /// [0, 1].
  at::Tensor judgements(std::span<const std::int64_t> items) const;

 private:
  std::filesystem::path folder_;
  std::vector<std::string> parts_;
  std::string judgement_;
  std::vector<std::string> stems_;
  std::vector<std::vector<std::filesystem::path>> pictures_;  ///< of each part, by stem
};

/// A two-alternative forced-choice set: ref/ p0/ p1/ judge/, as the public data set is laid out.
class TwoAfcData {
 public:
  explicit TwoAfcData(const std::filesystem::path& folder, std::int64_t load_size = 0);
  std::int64_t size() const { return files_.size(); }
  TwoAfcBatch batch(std::span<const std::int64_t> items) const;

 private:
  JudgedFiles files_;
  std::int64_t load_size_;
};

/// A just-noticeable-difference set: p0/ p1/ same/.
class JndData {
 public:
  explicit JndData(const std::filesystem::path& folder, std::int64_t load_size = 0);
  std::int64_t size() const { return files_.size(); }
  JndBatch batch(std::span<const std::int64_t> items) const;

 private:
  JudgedFiles files_;
  std::int64_t load_size_;
};

}  // namespace ldm::train
