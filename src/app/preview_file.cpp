#include "ldm/app/preview_file.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "ldm/app/output_paths.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/png.h"

namespace ldm::app {
namespace fs = std::filesystem;

void check_preview_path(const Options& options, const std::vector<fs::path>& outputs) {
  if (!options.preview) return;
  const fs::path preview = fs::path(*options.preview).lexically_normal();
  const bool taken = std::any_of(outputs.begin(), outputs.end(), [&](const fs::path& output) {
    return output.lexically_normal() == preview;
  });
  if (taken) throw Error::usage(cat("--preview ", *options.preview, " names another output too"));
  check_output_folders({preview});
}

void add_preview(const Options& options, Console& console, RunCallbacks& callbacks) {
  if (!options.preview) return;
  callbacks.preview_every = static_cast<int>(options.preview_every.value_or(1));
  const auto given_up = std::make_shared<bool>(false);
  callbacks.on_preview = [path = *options.preview, given_up, &console](const Image& picture) {
    if (*given_up) return;
    try {
      write_file_atomic(path, encode_png(picture), IfExists::kReplace);
    } catch (const Error& error) {
      *given_up = true;
      console.warning({LogLevel::kWarning, "preview-given-up", error.message(),
                       "the run goes on without previews"});
    }
  };
}

}  // namespace ldm::app
