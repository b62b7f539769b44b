#include "ldm/app/gallery.h"

#include <csignal>
#include <filesystem>

#include "ldm/app/commands.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/signals.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/atomic_file.h"
#include "ldm/io/file.h"
#include "ldm/io/folder_files.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostBytes = kMaxImageBytes * 4;
constexpr std::size_t kBeginningBytes = 256;

/// What was found in the folder.
struct Collection {
  std::vector<GalleryPicture> pictures;
  std::vector<BrokenPicture> broken;
  std::size_t links = 0;
};

/// Shows how far it is, and ends on a signal.
class Counter {
 public:
  Counter(std::string verb, std::size_t total, Console& console)
      : verb_(std::move(verb)), total_(total), console_(console) {}
  ~Counter() { console_.live(""); }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  void next() {
    if (const int signal = received_signal(); signal != 0) {
      throw Error::stopped(signal == 2 ? ErrorCode::kInterrupted : ErrorCode::kTerminated,
                           cat("stopped while ", verb_, " picture ", done_ + 1, " of ", total_,
                               "; no page written"));
    }
    constexpr std::size_t kEvery = 50;
    const bool shown = console_.stderr_is_terminal() && !console_.quiet;
    if (shown && done_ % kEvery == 0) console_.live(cat(verb_, " ", done_, "/", total_));
    ++done_;
  }

 private:
  std::string verb_;
  std::size_t total_;
  Console& console_;
  std::size_t done_ = 0;
};

/// A page made here earlier is brought up to date; any other file stays.
bool may_replace(const fs::path& page, const Options& options) {
  if (options.overwrite.value_or(false)) return true;
  std::error_code ignored;
  if (!fs::is_regular_file(fs::symlink_status(page, ignored))) return false;
  const InputFile file(page);
  std::string beginning(
      static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kBeginningBytes)), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(beginning.data(), beginning.size())));
  return is_gallery(beginning);
}

Collection collect(const Folder& folder, Console& console) {
  Collection out;
  const FolderFiles found = folder.list(".png");
  out.links = found.links;
  for (const std::string& name : found.unreadable) {
    out.broken.push_back({name, "this folder cannot be read"});
  }
  Counter counter("reading", found.files.size(), console);
  for (const std::string& file : found.files) {
    counter.next();
    try {
      const std::vector<std::byte> bytes = folder.read(file, kMostBytes);
      out.pictures.push_back(read_gallery_picture(bytes, file));
    } catch (const Error& error) {
      out.broken.push_back({file, error.message()});
    }
  }
  return out;
}

/// The relative URL from the page's folder to the pictures', ending on a slash unless empty.
std::string url_prefix(const fs::path& page, const fs::path& folder) {
  const fs::path from = fs::canonical(page.has_parent_path() ? page.parent_path() : ".");
  const fs::path relative = fs::canonical(folder).lexically_relative(from);
  return relative == "." ? "" : relative_url(relative.string()) + "/";
}

std::string folder_name(const fs::path& folder) {
  const fs::path whole = fs::canonical(folder);
  return whole.has_filename() ? whole.filename().string() : whole.string();
}

void append(AtomicFile& out, std::string_view text) {
  out.append(std::as_bytes(std::span(text.data(), text.size())));
}

/// Small pictures one after the other, so that only one is in memory.
void append_thumbnails(AtomicFile& out, const Folder& folder, const Collection& found,
                       Console& console) {
  Counter counter("embedding", found.pictures.size(), console);
  for (std::size_t i = 0; i < found.pictures.size(); ++i) {
    counter.next();
    std::string uri;
    try {
      const std::string& file = found.pictures[i].file;
      uri = thumbnail_uri(decode_image(folder.read(file, kMaxImageBytes), file));
    } catch (const Error&) {
      // Its pixels cannot be read: the page shows the file itself, as the browser sees it.
    }
    append(out, cat(i == 0 ? "" : ",\n", '"', uri, '"'));
  }
}

void write_page(const fs::path& page, bool replace, const Folder& folder, const std::string& data,
                const Collection& found, const Options& options, Console& console) {
  const std::string head = gallery_head();
  const std::string tail = gallery_tail();
  AtomicFile out(page, head.size() + data.size() + tail.size(),
                 replace ? IfExists::kReplace : IfExists::kRefuse);
  append(out, head);
  append(out, "<script type=\"application/json\" id=\"data\">");
  append(out, data);
  append(out, "</script>\n<script type=\"application/json\" id=\"thumbs\">[");
  if (options.embed.value_or(false)) append_thumbnails(out, folder, found, console);
  append(out, "]</script>\n");
  append(out, tail);
  out.commit();
}

}  // namespace

void make_gallery(const std::string& folder, const Options& options, Console& console) {
  if (folder.empty()) throw Error::usage("no folder is named", "ldm-gen gallery DIR");
  console.quiet = options.quiet.value_or(false);
  const Folder root(folder);
  const fs::path page =
      options.output ? fs::path(*options.output) : fs::path(folder) / "gallery.html";
  if (page.empty()) throw Error::usage("--output: the path is empty");
  check_output_folders({page});
  const bool replace = may_replace(page, options);
  if (!replace && fs::exists(fs::symlink_status(page))) {
    throw Error::output(cat(page.string(), ": exists and is no gallery page"),
                        "--overwrite replaces it; or name another file with --output");
  }
  const Collection found = collect(root, console);
  const std::string data = script_json(gallery_data(folder_name(folder), url_prefix(page, folder),
                                                    found.pictures, found.broken, found.links));
  write_page(page, replace, root, data, found, options, console);
  console.info(cat(found.pictures.size(), " pictures, ", found.broken.size(), " unreadable, ",
                   found.links, " symbolic links passed by; page of ",
                   human_bytes(static_cast<double>(fs::file_size(page)))));
  console.result(page.string());
}

}  // namespace ldm::app
