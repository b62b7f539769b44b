#include "ldm/io/atomic_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using Parts = std::span<const std::span<const std::byte>>;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void reset(int fd) { fd_ = fd; }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  // The last moment at which some file systems say that written data are lost.
  bool close_checked() { return ::close(std::exchange(fd_, -1)) == 0 || errno == EINTR; }

 private:
  int fd_;
};

// Removes the temporary file unless it has become the final one.
class TemporaryName {
 public:
  TemporaryName(int folder, std::string name) : folder_(folder), name_(std::move(name)) {}
  ~TemporaryName() {
    if (!name_.empty()) ::unlinkat(folder_, name_.c_str(), 0);
  }
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  void reset(int folder, std::string name) {
    folder_ = folder;
    name_ = std::move(name);
  }
  const char* c_str() const { return name_.c_str(); }
  void release() { name_.clear(); }

 private:
  int folder_;
  std::string name_;
};

std::string free_space(int folder) {
  struct statvfs info {};
  if (folder < 0 || ::fstatvfs(folder, &info) != 0) return {};
  const double bytes = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  return ", free " + human_bytes(bytes);
}

}  // namespace

Error write_error(const fs::path& path, int error, std::uint64_t needed, int folder) {
  const std::string what = "writing " + path.string() + ": ";
  const std::string sizes =
      " (needed " + human_bytes(static_cast<double>(needed)) + free_space(folder) + ")";
  switch (error) {
    case ENOSPC:
      return Error::output(what + "the disk is full" + sizes, "free some space");
    case EDQUOT:
      return Error::output(what + "the disk quota is used up" + sizes, "free some space");
    case EFBIG:
      return Error::output(what + "larger than files may be here" + sizes, "see `ulimit -f`");
    case EROFS:
      return Error::output(what + "the file system is read-only", "choose another folder");
    case EACCES:
    case EPERM:
      return Error::output(what + "no permission to write there", "choose another folder");
    case ENOENT:
      return Error::output(
          what + "the folder does not exist",
          "mkdir -p " + (path.has_parent_path() ? path.parent_path() : ".").string());
    case ENOTDIR:
      return Error::output(what + "a part of the path is not a folder");
    case ENAMETOOLONG:
      return Error::output(what + "the file name is too long");
    default:
      return Error::output(what + std::generic_category().message(error) + sizes);
  }
}

namespace {

Error exists_error(const fs::path& path) {
  return Error::output(path.string() + ": already exists, not overwritten",
                       "--overwrite replaces it");
}

int open_folder(const fs::path& folder) {
  const char* name = folder.empty() ? "." : folder.c_str();
  int fd = -1;
  do {
    fd = ::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

constexpr std::string_view kPrefix = ".ldm-";
constexpr std::string_view kSuffix = ".tmp";

// Creates ".ldm-<pid>-<n>.tmp"; returns its descriptor (or -1 with errno) and name. The name never
// comes from the caller, and O_EXCL | O_NOFOLLOW keeps planted links and files out of it. Its lock
// says that the writer lives; a sweep that came between creation and lock has removed the file.
std::pair<int, std::string> create_temporary(int folder) {
  static std::atomic<unsigned> counter{0};
  constexpr int kTries = 100;
  constexpr mode_t kMode = 0666;
  for (int i = 0; i < kTries; ++i) {
    std::string name = cat(kPrefix, ::getpid(), "-", counter++, kSuffix);
    const int fd =
        ::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode);
    if (fd < 0 && (errno == EEXIST || errno == EINTR)) continue;
    if (fd < 0) return {fd, std::move(name)};
    struct stat info {};
    const bool busy = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!busy && ::fstat(fd, &info) == 0 && info.st_nlink > 0) return {fd, std::move(name)};
    ::close(fd);
  }
  return {-1, {}};
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    if (wrote == 0) {
      errno = ENOSPC;
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
  return true;
}

// Gives the temporary file its final name unless that is taken (errno EEXIST).
bool rename_if_absent(int folder, TemporaryName& from, const char* to) {
  if (::renameat2(folder, from.c_str(), folder, to, RENAME_NOREPLACE) == 0) {
    from.release();
    return true;
  }
  if (errno != EINVAL && errno != ENOSYS) return false;
  if (::linkat(folder, from.c_str(), folder, to, 0) != 0) return false;
  // Where that fails it is tried once more when the name goes.
  if (::unlinkat(folder, from.c_str(), 0) == 0) from.release();
  return true;
}

// Whether the folder's regular file `name` holds exactly `parts`.
bool holds_same(int folder, const std::string& name, Parts parts) {
  const Descriptor file(
      ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!file.ok() || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  std::vector<std::byte> buffer(std::size_t{1} << 16U);
  for (std::span<const std::byte> part : parts) {
    while (!part.empty()) {
      const ssize_t got = ::read(file.get(), buffer.data(), std::min(buffer.size(), part.size()));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      const auto length = static_cast<std::size_t>(got);
      if (std::memcmp(buffer.data(), part.data(), length) != 0) return false;
      part = part.subspan(length);
    }
  }
  return ::read(file.get(), buffer.data(), 1) == 0;
}

bool exists(int folder, const std::string& name) {
  struct stat info {};
  return ::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

// Gives the temporary file its name; false when that is taken and not to be replaced.
bool take_name(int folder, TemporaryName& temporary, const fs::path& path, std::uint64_t needed,
               IfExists if_exists) {
  const std::string name = path.filename().string();
  if (if_exists == IfExists::kReplace) {
    if (::renameat(folder, temporary.c_str(), folder, name.c_str()) != 0) {
      const int error = errno;
      if (error == EISDIR) throw Error::output(path.string() + ": is a folder");
      throw write_error(path, error, needed, folder);
    }
    temporary.release();
    return true;
  }
  if (rename_if_absent(folder, temporary, name.c_str())) return true;
  const int error = errno;
  if (error == EEXIST) return false;
  throw write_error(path, error, needed, folder);
}

bool write_all_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
    offset += static_cast<std::uint64_t>(wrote);
  }
  return true;
}

void check_names_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.empty() || name == "." || name == "..") {
    throw Error::output("\"" + path.string() + "\" names no file", "add a file name");
  }
}

}  // namespace

struct AtomicFile::State {
  State(int open_folder, fs::path file_path, std::uint64_t needed_bytes, IfExists exists_rule)
      : path(std::move(file_path)),
        needed(needed_bytes),
        if_exists(exists_rule),
        folder(open_folder),
        file(-1),
        temporary(-1, {}) {}

  fs::path path;
  std::uint64_t needed;
  IfExists if_exists;
  Descriptor folder;
  Descriptor file;
  TemporaryName temporary;
};

AtomicFile::AtomicFile(fs::path path, std::uint64_t needed, IfExists if_exists)
    : state_(std::make_unique<State>(open_folder(path.parent_path()), path, needed, if_exists)) {
  begin();
}

AtomicFile::AtomicFile(int folder, fs::path path, std::uint64_t needed, IfExists if_exists)
    : state_(std::make_unique<State>(::fcntl(folder, F_DUPFD_CLOEXEC, 0), std::move(path), needed,
                                     if_exists)) {
  begin();
}

void AtomicFile::begin() {
  State& s = *state_;
  check_names_file(s.path);
  const int folder = s.folder.get();
  if (!s.folder.ok()) throw write_error(s.path, errno, s.needed, -1);
  if (s.if_exists != IfExists::kReplace && exists(folder, s.path.filename().string())) {
    throw exists_error(s.path);
  }
  auto [fd, name] = create_temporary(folder);
  if (fd < 0) throw write_error(s.path, errno, s.needed, folder);
  s.file.reset(fd);
  s.temporary.reset(folder, std::move(name));
}

AtomicFile::~AtomicFile() = default;

void AtomicFile::append(std::span<const std::byte> bytes) {
  if (write_all(state_->file.get(), bytes)) return;
  throw write_error(state_->path, errno, state_->needed, state_->folder.get());
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (write_all_at(state_->file.get(), bytes, offset)) return;
  throw write_error(state_->path, errno, state_->needed, state_->folder.get());
}

void AtomicFile::commit() {
  if (!commit_unless_taken()) throw exists_error(state_->path);
}

bool AtomicFile::commit_unless_taken() {
  State& s = *state_;
  // A failed fsync is final: the kernel may drop the pages, so a second one proves nothing.
  if (::fsync(s.file.get()) != 0 || !s.file.close_checked()) {
    throw write_error(s.path, errno, s.needed, s.folder.get());
  }
  if (!take_name(s.folder.get(), s.temporary, s.path, s.needed, s.if_exists)) return false;
  // Some file systems cannot sync a folder and say EINVAL.
  if (::fsync(s.folder.get()) != 0 && errno != EINVAL) {
    throw write_error(s.path, errno, s.needed, s.folder.get());
  }
  return true;
}

void write_parts_atomic(int folder, const fs::path& path, Parts parts, IfExists if_exists) {
  std::uint64_t needed = 0;
  for (const auto& part : parts) needed += part.size();
  const std::string name = path.filename().string();
  const auto is_identical = [&] {
    return if_exists == IfExists::kKeepIdentical && holds_same(folder, name, parts);
  };
  if (is_identical()) return;
  AtomicFile file(folder, path, needed, if_exists);
  for (const auto& part : parts) file.append(part);
  // Another process may have written the same meanwhile.
  if (!file.commit_unless_taken() && !is_identical()) throw exists_error(path);
}

void write_parts_atomic(const fs::path& path, Parts parts, IfExists if_exists) {
  check_names_file(path);
  const Descriptor folder(open_folder(path.parent_path()));
  std::uint64_t needed = 0;
  for (const auto& part : parts) needed += part.size();
  if (!folder.ok()) throw write_error(path, errno, needed, -1);
  write_parts_atomic(folder.get(), path, parts, if_exists);
}

void write_file_atomic(const fs::path& path, std::span<const std::byte> bytes, IfExists if_exists) {
  write_parts_atomic(path, Parts(&bytes, 1), if_exists);
}

void write_file_atomic(const fs::path& path, std::string_view text, IfExists if_exists) {
  write_file_atomic(path, std::as_bytes(std::span(text.data(), text.size())), if_exists);
}

void check_output_folder(const fs::path& path) {
  const fs::path shown = path.empty() ? fs::path(".") : path;
  const Descriptor folder(open_folder(path));
  if (!folder.ok()) throw write_error(shown / "", errno, 0, -1);
  auto [fd, name] = create_temporary(folder.get());
  if (fd < 0) throw write_error(shown / "", errno, 0, folder.get());
  const Descriptor file(fd);
  const TemporaryName temporary(folder.get(), std::move(name));
}

int sweep_temporaries(int folder) {
  const int listed = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(listed < 0 ? nullptr : ::fdopendir(listed),
                                                    ::closedir);
  if (!entries) return 0;
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(kPrefix) && name.ends_with(kSuffix)) names.emplace_back(name);
  }
  int removed = 0;
  for (const std::string& name : names) {
    const Descriptor file(
        ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file.ok() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (::unlinkat(folder, name.c_str(), 0) == 0) ++removed;
  }
  return removed;
}

}  // namespace ldm
