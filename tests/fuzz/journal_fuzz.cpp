// Any bytes as a journal, as they are and with every line's CRC made right: each line gives an
// entry or nothing, and an entry that was read is written and read back the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "ldm/app/journal.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"

using ldm::app::JournalSummary;

static void check(const std::string& text) {
  JournalSummary summary;
  for (nlohmann::json& entry : ldm::app::read_journal(text)) {
    if (!entry.is_object()) std::abort();
    entry.erase("crc");
    const auto again = ldm::app::read_journal(ldm::app::journal_line(entry) + "\n");
    if (again.size() != 1) std::abort();
    ldm::app::add_entry(summary, std::move(entry));
  }
  for (const auto& [path, entry] : summary.images) {
    if (path.empty() || !entry.is_object()) std::abort();
  }
  if (summary.pictures < 0) std::abort();
}

/// The lines that are JSON objects, as the program would have written them.
static std::string with_checksums(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    nlohmann::json entry;
    if (!ldm::try_parse_json(text.substr(0, end), {}, entry) && entry.is_object()) {
      entry.erase("crc");
      out += ldm::app::journal_line(entry) + "\n";
    } else {
      out += std::string(text.substr(0, end)) + "\n";
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check(text);
  check(with_checksums(text));
  return 0;
}
