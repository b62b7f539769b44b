#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ldm/io/output_folder.h"

namespace ldm::app {

/// One line of a journal: a JSON object that ends in the CRC-32 of what stands before it. Without
/// the final newline.
std::string journal_line(const nlohmann::ordered_json& entry);

/// The entries of a journal's text, in order. Lines that are torn, damaged or not a journal's are
/// left out.
std::vector<nlohmann::json> read_journal(const std::string& text);

/// The journal's name of one process alone, "journal.jsonl", or of a shard,
/// "journal-2-of-8.jsonl".
std::string journal_name(std::int64_t shard, std::int64_t shards);
bool is_journal_name(const std::string& name);

/// What the journals of a folder say. A journal is a log: pictures themselves say what they hold;
/// only those without metadata are known by it.
struct JournalSummary {
  std::optional<std::uint64_t> seed;              ///< of the run that began it
  std::map<std::string, nlohmann::json> images;   ///< newest entry by file name
  std::map<std::int64_t, nlohmann::json> failed;  ///< by number of the picture; made later: gone
  std::int64_t pictures = 0;                      ///< in the batch, where it was known; else 0
};

/// Takes up one entry, newer than those before.
void add_entry(JournalSummary& summary, nlohmann::json entry);

/// Seconds a picture takes by the newest entries: the time in which at least one process made
/// pictures, by their number. Pauses between runs do not count. Empty where no entry says.
std::optional<double> seconds_per_picture(const JournalSummary& journals);

/// Reads all journals of a folder.
JournalSummary read_journals(const OutputFolder& folder);

}  // namespace ldm::app
