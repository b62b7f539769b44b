#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ldm/train/attributes.h"
#include "ldm/train/classifier.h"

namespace ldm::train {

/// A prompt and what its picture should show.
struct PromptCase {
  std::string id;
  std::string prompt;
  Attributes expected;
};

/// Reads a prompts.jsonl: a line an object with `prompt`, `object` and `background`, perhaps
/// `count` and `id` (without: the line's number from 0, in four digits). Error::input "FILE:LINE:
/// …" for any other line, and for a file without one.
std::vector<PromptCase> read_prompts(const std::filesystem::path& file);

/// At most `limit` of them, evenly spread over the list; all with 0.
std::vector<PromptCase> spread(const std::vector<PromptCase>& cases, std::int64_t limit);

/// How many pictures of an object show it.
struct ObjectScore {
  std::string object;
  std::int64_t right = 0;
  std::int64_t total = 0;
};

/// A picture that shows something else than was asked for.
struct PromptMiss {
  PromptCase wanted;
  AttributeGuess seen;
};

/// How well generated pictures follow their prompts, as a classifier sees it.
class PromptScores {
 public:
  /// Takes one picture into account. Error::input for a word that the classifier was not taught.
  void add(const PromptCase& wanted, const AttributeGuess& seen, const AttributeNames& names);

  /// Parts 0 … 1 of all pictures so far.
  AttributeAccuracy accuracy() const;
  /// The part in which object, background and count are all right.
  double all() const;
  /// Objects that were missed at least once, the worst first.
  std::vector<ObjectScore> worst() const;
  const std::vector<PromptMiss>& misses() const { return misses_; }

 private:
  AttributeAccuracy sum_;  ///< counts, not yet parts
  std::int64_t all_ = 0;
  std::map<std::string, ObjectScore> objects_;
  std::vector<PromptMiss> misses_;
};

}  // namespace ldm::train
