#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ldm/app/commands.h"
#include "ldm/app/journal.h"
#include "ldm/app/progress.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/folder_lock.h"
#include "ldm/io/hash.h"
#include "ldm/io/image.h"
#include "ldm/io/output_folder.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

void need_folder(const std::string& folder, const char* command) {
  std::error_code ignored;
  if (folder.empty()) {
    throw Error::usage("no folder is named", cat("ldm-gen ", command, " DIR"));
  }
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw Error::input(cat(folder, ": no such folder"), "name the --output-dir of a batch");
  }
}

/// What journals and files say together.
struct Status {
  JournalSummary journals;
  std::vector<std::string> lost;     ///< in a journal, but not in the folder
  std::vector<std::string> changed;  ///< other bytes than the journal says
  std::int64_t made = 0;

  std::int64_t unmade() const {
    const auto failed = static_cast<std::int64_t>(journals.failed.size());
    return std::max<std::int64_t>(0, journals.pictures - made - failed);
  }
};

/// `digests`: whether files are read, not only looked up.
Status read_status(const OutputFolder& folder, bool digests) {
  Status status{read_journals(folder), {}, {}, 0};
  for (const auto& [name, entry] : status.journals.images) {
    if (!folder.exists(name)) {
      status.lost.push_back(name);
      continue;
    }
    if (digests) {
      const auto bytes = folder.read(name, kMaxImageBytes * 4);
      const auto noted = entry.find("sha256");
      const bool same = bytes && noted != entry.end() && noted->is_string() &&
                        *noted == sha256_hex(std::as_bytes(std::span(*bytes)));
      if (!same) status.changed.push_back(name);
    }
    ++status.made;
  }
  return status;
}

Json status_json(const Status& status) {
  Json out = {{"event", "status"}, {"schema", 1}};
  out["pictures"] = status.journals.pictures;
  out["made"] = status.made;
  out["failed"] = status.journals.failed.size();
  out["to_make"] = status.unmade();
  if (const auto seconds = seconds_per_picture(status.journals)) {
    out["seconds_per_image"] = *seconds;
    out["eta_s"] = *seconds * static_cast<double>(status.unmade());
  }
  out["lost"] = status.lost;
  out["changed"] = status.changed;
  return out;
}

std::string status_text(const Status& status) {
  std::string text = cat(
      status.made,
      status.journals.pictures > 0 ? cat("/", status.journals.pictures) : std::string(), " made");
  if (!status.journals.failed.empty()) text += cat(", ", status.journals.failed.size(), " failed");
  if (status.unmade() > 0) text += cat(", ", status.unmade(), " to make");
  const std::optional<double> seconds = seconds_per_picture(status.journals);
  if (seconds && status.unmade() > 0) {
    text += cat(", ", image_rate_text(*seconds), ", ",
                clock_text(*seconds * static_cast<double>(status.unmade())), " left");
  }
  constexpr std::size_t kShown = 10;
  if (!status.lost.empty()) {
    text += cat("\nnot there any more: ", join(status.lost, ", ", kShown));
  }
  if (!status.changed.empty()) {
    text += cat("\nchanged since: ", join(status.changed, ", ", kShown));
  }
  for (const auto& [index, entry] : status.journals.failed) {
    const auto message = entry.find("message");
    text += cat(
        "\nfailed ", index, ": ",
        escape_control(message != entry.end() && message->is_string() ? message->get<std::string>()
                                                                      : std::string("no reason")));
  }
  return text;
}

/// One journal in place of those of all shards.
std::string merged_journal(const JournalSummary& journals) {
  Json run = {{"event", "run"}, {"schema", 1}};
  if (journals.seed) run["seed"] = *journals.seed;
  if (journals.pictures > 0) run["pictures"] = journals.pictures;
  std::map<std::int64_t, std::string> lines;
  const auto without_crc = [](nlohmann::json entry) {
    entry.erase("crc");
    return Json(entry);
  };
  for (const auto& [name, entry] : journals.images) {
    lines[entry.at("index").get<std::int64_t>()] = journal_line(without_crc(entry));
  }
  for (const auto& [index, entry] : journals.failed) {
    lines.emplace(index, journal_line(without_crc(entry)));
  }
  std::string text = journal_line(run) + "\n";
  for (const auto& line : lines) text += line.second + "\n";
  return text;
}

}  // namespace

void show_status(const std::string& folder, Console& console) {
  need_folder(folder, "status");
  const Status status = read_status(OutputFolder(folder), /*digests=*/false);
  if (console.json) {
    console.event(status_json(status));
  } else {
    console.result(status_text(status));
  }
}

void merge_journals(const std::string& folder, Console& console) {
  need_folder(folder, "merge");
  const OutputFolder opened(folder);
  const FolderLock lock = FolderLock::alone(opened);
  opened.sweep();
  const Status status = read_status(opened, /*digests=*/true);
  const std::string text = merged_journal(status.journals);
  opened.write("journal.jsonl", std::as_bytes(std::span(text)), IfExists::kReplace);
  for (const std::string& name : opened.files()) {
    if (is_journal_name(name) && name != "journal.jsonl") opened.remove(name);
  }
  if (console.json) {
    console.event(status_json(status));
  } else {
    console.result(status_text(status));
  }
  const bool whole = status.lost.empty() && status.changed.empty() &&
                     status.journals.failed.empty() && status.unmade() == 0;
  if (whole) return;
  throw Error::stopped(ErrorCode::kPartial, cat(folder, ": the batch is not complete"),
                       "run the batch's command again: it makes what is missing");
}

}  // namespace ldm::app
