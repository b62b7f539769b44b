#include "ldm/train/prompt_scores.h"

#include <algorithm>
#include <sstream>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"

namespace ldm::train {
namespace {

constexpr std::uint64_t kMaxPromptBytes = std::uint64_t{64} << 20U;

std::string four_digits(std::size_t number) {
  std::string digits = std::to_string(number);
  return std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits;
}

PromptCase read_case(const std::string& line, const std::string& where, std::size_t number) {
  nlohmann::json object;
  if (const auto fault = try_parse_json(line, {}, object)) {
    throw Error::input(cat(where, ": invalid JSON at byte ", fault->offset, ": ", fault->text));
  }
  if (!object.is_object()) throw Error::input(where + ": expected a JSON object");
  PromptCase found;
  found.expected = attributes_of(object, where);
  const auto text = [&](const char* key, std::string& out) {
    const auto value = object.find(key);
    if (value == object.end()) return false;
    if (!value->is_string()) throw Error::input(cat(where, ": \"", key, "\" is no text"));
    out = value->get<std::string>();
    return true;
  };
  if (!text("prompt", found.prompt)) throw Error::input(where + ": no \"prompt\"");
  if (!text("id", found.id)) found.id = four_digits(number);
  return found;
}

std::string read_text(const std::filesystem::path& file) {
  try {
    return read_small_file(file, kMaxPromptBytes);
  } catch (Error& error) {
    error.with_code(ErrorCode::kInput);
    throw;
  }
}

}  // namespace

std::vector<PromptCase> read_prompts(const std::filesystem::path& file) {
  std::istringstream lines(read_text(file));
  std::vector<PromptCase> cases;
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    cases.push_back(read_case(line, cat(file.string(), ":", number), cases.size()));
  }
  if (cases.empty()) throw Error::input(file.string() + ": no prompts in it");
  return cases;
}

std::vector<PromptCase> spread(const std::vector<PromptCase>& cases, std::int64_t limit) {
  const auto size = static_cast<std::int64_t>(cases.size());
  if (limit <= 0 || limit >= size) return cases;
  std::vector<PromptCase> some;
  for (std::int64_t i = 0; i < limit; ++i) {
    some.push_back(cases[static_cast<std::size_t>(i * size / limit)]);
  }
  return some;
}

void PromptScores::add(const PromptCase& wanted, const AttributeGuess& seen,
                       const AttributeNames& names) {
  const Attributes& expected = wanted.expected;
  if (names.object_class(expected.object) < 0 || names.background_class(expected.background) < 0) {
    throw Error::input(cat("prompt ", wanted.id, ": the classifier knows no \"", expected.object,
                           "\" on \"", expected.background, "\""),
                       "train the classifier on the data set that the prompts belong to");
  }
  const bool object = seen.attributes.object == expected.object;
  const bool background = seen.attributes.background == expected.background;
  const bool count = seen.attributes.count == expected.count;
  sum_.object += object ? 1 : 0;
  sum_.background += background ? 1 : 0;
  sum_.border += seen.border_background == expected.background ? 1 : 0;
  sum_.count += count ? 1 : 0;
  ++sum_.pictures;
  ObjectScore& score = objects_[expected.object];
  score.object = expected.object;
  score.right += object ? 1 : 0;
  ++score.total;
  if (object && background && count) {
    ++all_;
  } else {
    misses_.push_back({wanted, seen});
  }
}

AttributeAccuracy PromptScores::accuracy() const {
  AttributeAccuracy parts = sum_;
  const auto pictures = static_cast<double>(std::max<std::int64_t>(1, parts.pictures));
  for (double* part : {&parts.object, &parts.background, &parts.border, &parts.count}) {
    *part /= pictures;
  }
  return parts;
}

double PromptScores::all() const {
  return static_cast<double>(all_) / static_cast<double>(std::max<std::int64_t>(1, sum_.pictures));
}

std::vector<ObjectScore> PromptScores::worst() const {
  std::vector<ObjectScore> list;
  for (const auto& [name, score] : objects_) {
    if (score.right < score.total) list.push_back(score);
  }
  std::stable_sort(list.begin(), list.end(), [](const ObjectScore& a, const ObjectScore& b) {
    return a.right * b.total < b.right * a.total;
  });
  return list;
}

}  // namespace ldm::train
