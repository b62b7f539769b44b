#include "ldm/app/journal.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <string_view>
#include <utility>

#include "ldm/core/text.h"
#include "ldm/io/json.h"

namespace ldm::app {
namespace {

constexpr std::string_view kCrcField = ",\"crc\":\"";
constexpr std::size_t kCrcDigits = 8;
constexpr std::uint64_t kMostBytes = std::uint64_t{4} << 30U;

std::string crc_text(std::string_view text) {
  const uLong crc = ::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size());
  std::array<char, 16> digits{};
  std::snprintf(digits.data(), digits.size(), "%08lx", crc);
  return digits.data();
}

std::optional<nlohmann::json> read_line(std::string_view line) {
  const std::size_t tail = kCrcField.size() + kCrcDigits + 2;
  if (line.size() < tail + 1 || !line.ends_with("\"}")) return std::nullopt;
  const std::string_view body = line.substr(0, line.size() - tail);
  const std::string_view end = line.substr(body.size());
  if (!end.starts_with(kCrcField)) return std::nullopt;
  if (end.substr(kCrcField.size(), kCrcDigits) != crc_text(body)) return std::nullopt;
  nlohmann::json entry;
  if (try_parse_json(line, {}, entry) || !entry.is_object()) return std::nullopt;
  return entry;
}

std::string text_field(const nlohmann::json& entry, const char* key) {
  const auto found = entry.find(key);
  return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::uint64_t> number_field(const nlohmann::json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

}  // namespace

std::string journal_line(const nlohmann::ordered_json& entry) {
  std::string text = entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.pop_back();
  return text + std::string(kCrcField) + crc_text(text) + "\"}";
}

std::vector<nlohmann::json> read_journal(const std::string& text) {
  std::vector<nlohmann::json> entries;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (auto entry = read_line(rest.substr(0, end))) entries.push_back(*std::move(entry));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return entries;
}

std::string journal_name(std::int64_t shard, std::int64_t shards) {
  return shards > 1 ? cat("journal-", shard, "-of-", shards, ".jsonl") : "journal.jsonl";
}

bool is_journal_name(const std::string& name) {
  return name == "journal.jsonl" || (name.starts_with("journal-") && name.ends_with(".jsonl"));
}

void add_entry(JournalSummary& summary, nlohmann::json entry) {
  const std::string event = text_field(entry, "event");
  if (event == "run") {
    if (!summary.seed) summary.seed = number_field(entry, "seed");
    const auto pictures = static_cast<std::int64_t>(number_field(entry, "pictures").value_or(0));
    summary.pictures = std::max(summary.pictures, pictures);
    return;
  }
  const auto number = number_field(entry, "index");
  if (!number) return;
  const auto index = static_cast<std::int64_t>(*number);
  const std::string path = text_field(entry, "path");
  if (event == "failed") {
    summary.failed[index] = std::move(entry);
  } else if (event == "image" && !path.empty()) {
    summary.failed.erase(index);
    summary.images[path] = std::move(entry);
  }
}

std::optional<double> seconds_per_picture(const JournalSummary& journals) {
  constexpr std::size_t kNewest = 200;
  std::vector<std::pair<double, double>> spans;  // end and length
  for (const auto& [name, entry] : journals.images) {
    const auto seconds = entry.find("seconds");
    const auto finished = entry.find("finished");
    if (seconds == entry.end() || finished == entry.end()) continue;
    if (!seconds->is_number() || !finished->is_number()) continue;
    spans.emplace_back(finished->get<double>(), seconds->get<double>());
  }
  if (spans.empty()) return std::nullopt;
  std::sort(spans.rbegin(), spans.rend());
  spans.resize(std::min(spans.size(), kNewest));
  // From the newest back: how much of each span no later one covers.
  double covered = 0;
  double from = std::numeric_limits<double>::infinity();
  for (const auto& [end, length] : spans) {
    const double begin = end - std::max(0.0, length);
    covered += std::max(0.0, std::min(end, from) - begin);
    from = std::min(from, begin);
  }
  return covered / static_cast<double>(spans.size());
}

JournalSummary read_journals(const OutputFolder& folder) {
  JournalSummary summary;
  for (const std::string& name : folder.files()) {
    if (!is_journal_name(name)) continue;
    const auto text = folder.read(name, kMostBytes);
    if (!text) continue;
    for (nlohmann::json& entry : read_journal(*text)) add_entry(summary, std::move(entry));
  }
  return summary;
}

}  // namespace ldm::app
