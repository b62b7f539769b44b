#include "ldm/io/folder_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr int kMaxDepth = 64;

Descriptor open_below(int folder, const char* name, int flags) {
  return Descriptor(uninterrupted([&] {
    return ::openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags);
  }));
}

/// Calls `visit(folder, name, mode)` with every entry of an open folder but . and .., `mode` being
/// its type as of `stat`. False when the folder cannot be read.
template <typename Visit>
bool for_each_entry(Descriptor folder, const Visit& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(folder.get()), &::closedir);
  if (!entries) return false;
  const int fd = folder.release();
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    mode_t mode = DTTOIF(entry->d_type);
    if (entry->d_type == DT_UNKNOWN) {
      struct stat info {};
      if (::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      mode = info.st_mode;
    }
    visit(fd, name, mode);
  }
  return true;
}

bool ends_with_ignoring_case(std::string_view name, std::string_view suffix) {
  const auto same = [](char a, char b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(a) == lower(b);
  };
  return name.size() > suffix.size() &&
         std::equal(suffix.begin(), suffix.end(),
                    name.end() - static_cast<std::ptrdiff_t>(suffix.size()), same);
}

/// One look through a tree, folder by folder.
class Look {
 public:
  Look(std::string_view suffix, FolderFiles& out) : suffix_(suffix), out_(out) {}

  void enter(Descriptor opened, const std::string& prefix, int depth) {
    const auto visit_entry = [&](int folder, const std::string& name, mode_t mode) {
      if (name[0] != '.') visit(folder, name, mode, prefix, depth);
    };
    if (!for_each_entry(std::move(opened), visit_entry)) out_.unreadable.push_back(prefix);
  }

 private:
  void visit(int folder, const std::string& name, mode_t mode, const std::string& prefix,
             int depth) {
    const std::string relative = prefix.empty() ? name : prefix + "/" + name;
    if (S_ISLNK(mode)) ++out_.links;
    if (S_ISREG(mode) && ends_with_ignoring_case(name, suffix_)) out_.files.push_back(relative);
    if (!S_ISDIR(mode) || depth >= kMaxDepth) return;
    Descriptor below = open_below(folder, name.c_str(), O_DIRECTORY);
    if (below.ok()) {
      enter(std::move(below), relative, depth + 1);
    } else {
      out_.unreadable.push_back(relative);
    }
  }

  std::string_view suffix_;
  FolderFiles& out_;
};

[[noreturn]] void cannot_read(const std::string& name, int error) {
  if (error == ELOOP) throw Error::input(name + ": a symbolic link, not followed");
  throw Error::input(cat(name, ": ", std::generic_category().message(error)));
}

}  // namespace

Folder::Folder(std::filesystem::path path)
    : path_(std::move(path)), fd_(uninterrupted([this] {
        return ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      })) {
  if (fd_.ok()) return;
  throw Error::input(cat(path_.string(), ": ", std::generic_category().message(errno)),
                     "name a folder");
}

Folder::Folder(std::filesystem::path path, Descriptor opened)
    : path_(std::move(path)), fd_(std::move(opened)) {}

FolderFiles Folder::list(std::string_view suffix) const {
  FolderFiles out;
  Descriptor self = open_below(fd_.get(), ".", O_DIRECTORY);
  if (!self.ok()) cannot_read(path_.string(), errno);
  Look(suffix, out).enter(std::move(self), "", 1);
  std::sort(out.files.begin(), out.files.end());
  std::sort(out.unreadable.begin(), out.unreadable.end());
  return out;
}

std::vector<std::string> Folder::names() const {
  Descriptor self = open_below(fd_.get(), ".", O_DIRECTORY);
  if (!self.ok()) cannot_read(path_.string(), errno);
  std::vector<std::string> names;
  const bool read =
      for_each_entry(std::move(self), [&names](int, const std::string& name, mode_t mode) {
        if (S_ISREG(mode)) names.push_back(name);
      });
  if (!read) cannot_read(path_.string(), errno);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::byte> Folder::read(const std::string& relative, std::uint64_t max_bytes) const {
  Descriptor at = open_below(fd_.get(), ".", O_DIRECTORY);
  for (std::size_t start = 0; start < relative.size();) {
    const std::size_t slash = std::min(relative.find('/', start), relative.size());
    const std::string part = relative.substr(start, slash - start);
    const bool last = slash == relative.size();
    errno = ENOENT;
    at = part == ".." ? Descriptor() : open_below(at.get(), part.c_str(), last ? 0 : O_DIRECTORY);
    if (!at.ok()) cannot_read(relative, errno);
    start = slash + 1;
  }
  struct stat info {};
  if (::fstat(at.get(), &info) != 0) cannot_read(relative, errno);
  if (!S_ISREG(info.st_mode)) throw Error::input(relative + ": not a regular file");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > max_bytes) {
    throw Error::input(cat(relative, ": ", size, " bytes, more than the ", max_bytes, " allowed"));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t got =
        uninterrupted([&] { return ::read(at.get(), bytes.data() + done, bytes.size() - done); });
    if (got < 0) cannot_read(relative, errno);
    if (got == 0) throw Error::input(relative + ": shrank while it was read");
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace ldm
