#include "ldm/app/picture_names.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "ldm/app/option_values.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

constexpr std::size_t kMostBytes = 120;
constexpr std::string_view kSuffix = ".png";
constexpr std::array<std::string_view, 5> kFields = {"index", "seed", "id", "sampler", "steps"};

bool is_allowed(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::string padded(std::uint64_t number, int width) {
  std::string text = std::to_string(number);
  const auto least = static_cast<std::size_t>(width);
  return text.size() < least ? std::string(least - text.size(), '0') + text : text;
}

std::string with_suffix(std::string name) {
  if (!name.ends_with(kSuffix)) name += kSuffix;
  return name;
}

std::string value_of(const std::string& field, int width, const NameFields& fields) {
  if (field == "index") return padded(static_cast<std::uint64_t>(fields.index), width);
  if (field == "seed") return padded(fields.seed, width);
  if (field == "steps") return padded(static_cast<std::uint64_t>(fields.steps), width);
  return field == "id" ? fields.id : fields.sampler;
}

}  // namespace

NameTemplate::NameTemplate(const std::string& text) {
  const auto refuse = [&text](const std::string& what) {
    throw Error::usage(cat("--name-template \"", text, "\": ", what),
                       "fields are {index} {seed} {id} {sampler} {steps}, or padded {index:06}");
  };
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t open = text.find('{', at);
    const std::string plain = text.substr(at, open == std::string::npos ? open : open - at);
    if (!std::all_of(plain.begin(), plain.end(), is_allowed)) {
      refuse("names are of letters, digits, '.', '_' and '-'");
    }
    if (!plain.empty()) pieces_.push_back({plain, {}, 0});
    if (open == std::string::npos) break;
    const std::size_t close = text.find('}', open);
    if (close == std::string::npos) refuse("a { without its }");
    const std::string inner = text.substr(open + 1, close - open - 1);
    const std::size_t colon = inner.find(':');
    const std::string field = inner.substr(0, colon);
    if (std::find(kFields.begin(), kFields.end(), field) == kFields.end()) {
      refuse(cat("unknown field {", field, "}"));
    }
    int width = 0;
    if (colon != std::string::npos) {
      const auto digits = parse_integer(std::string_view(inner).substr(colon + 1));
      if (!digits || *digits < 1 || *digits > 20) refuse(cat("cannot pad {", inner, "}"));
      width = static_cast<int>(*digits);
    }
    pieces_.push_back({{}, field, width});
    at = close + 1;
  }
  if (pieces_.empty()) refuse("it is empty");
}

std::string NameTemplate::name(const NameFields& fields) const {
  std::string name;
  for (const Piece& piece : pieces_) {
    name += piece.field.empty() ? piece.text : value_of(piece.field, piece.width, fields);
  }
  name = with_suffix(name);
  check_name(name);
  return name;
}

std::string named_output(const std::string& output, std::int64_t k, std::int64_t images) {
  std::string stem = with_suffix(output);
  stem.resize(stem.size() - kSuffix.size());
  if (images > 1) {
    const int digits = std::max(4, static_cast<int>(std::to_string(images).size()));
    stem += "-" + padded(static_cast<std::uint64_t>(k + 1), digits);
  }
  check_name(stem);
  return with_suffix(stem);
}

void check_name(const std::string& name) {
  const bool legal = !name.empty() && name != kSuffix && name.front() != '.' &&
                     name.front() != '-' && std::all_of(name.begin(), name.end(), is_allowed);
  if (legal && name.size() <= kMostBytes) return;
  throw Error::input(cat("\"", name, "\" cannot be a picture's name"),
                     cat("names are of letters, digits, '.', '_' and '-', at most ", kMostBytes,
                         " of them, and begin with a letter, a digit or '_'"));
}

}  // namespace ldm::app
