#include "ldm/io/folder_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int open_below(int folder, const char* name, int flags) {
  int fd = -1;
  do {
    fd = ::openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags);
  } while (fd < 0 && errno == EINTR);
  return fd;
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

  void enter(int fd, const std::string& prefix, int depth) {
    DIR* const raw = ::fdopendir(fd);
    if (raw == nullptr) {
      ::close(fd);
      out_.unreadable.push_back(prefix);
      return;
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(raw, &::closedir);
    while (const dirent* entry = ::readdir(raw)) {
      const std::string name = entry->d_name;
      if (name[0] != '.') visit(::dirfd(raw), name, prefix, depth);
    }
  }

 private:
  void visit(int folder, const std::string& name, const std::string& prefix, int depth) {
    struct stat info {};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return;
    const std::string relative = prefix.empty() ? name : prefix + "/" + name;
    if (S_ISLNK(info.st_mode)) ++out_.links;
    if (S_ISREG(info.st_mode) && ends_with_ignoring_case(name, suffix_)) {
      out_.files.push_back(relative);
    }
    if (!S_ISDIR(info.st_mode) || depth >= kMaxDepth) return;
    const int fd = open_below(folder, name.c_str(), O_DIRECTORY);
    if (fd < 0) {
      out_.unreadable.push_back(relative);
    } else {
      enter(fd, relative, depth + 1);
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

Folder::Folder(const std::filesystem::path& path) : path_(path) {
  do {
    fd_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) {
    throw Error::input(cat(path.string(), ": ", std::generic_category().message(errno)),
                       "name a folder");
  }
}

Folder::~Folder() { ::close(fd_); }

FolderFiles Folder::list(std::string_view suffix) const {
  FolderFiles out;
  const int fd = open_below(fd_, ".", O_DIRECTORY);
  if (fd < 0) cannot_read(path_.string(), errno);
  Look(suffix, out).enter(fd, "", 1);
  std::sort(out.files.begin(), out.files.end());
  std::sort(out.unreadable.begin(), out.unreadable.end());
  return out;
}

std::vector<std::byte> Folder::read(const std::string& relative, std::uint64_t max_bytes) const {
  Descriptor at(open_below(fd_, ".", O_DIRECTORY));
  for (std::size_t start = 0; start < relative.size();) {
    const std::size_t slash = std::min(relative.find('/', start), relative.size());
    const std::string part = relative.substr(start, slash - start);
    const bool last = slash == relative.size();
    at = Descriptor(part == ".." ? -1 : open_below(at.get(), part.c_str(), last ? 0 : O_DIRECTORY));
    if (at.get() < 0) cannot_read(relative, errno);
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
    const ssize_t got = ::read(at.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(relative, errno);
    if (got == 0) throw Error::input(relative + ": shrank while it was read");
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace ldm
