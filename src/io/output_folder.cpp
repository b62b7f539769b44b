#include "ldm/io/output_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/atomic_file.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

/// A descriptor that is closed with its scope.
class Opened {
 public:
  explicit Opened(int fd) : fd_(fd) {}
  ~Opened() {
    if (fd_ >= 0) ::close(fd_);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

template <typename Call>
auto repeat(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

int open_directory(const fs::path& path) {
  return repeat([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
}

bool is_regular(int folder, const char* name) {
  struct stat info {};
  return ::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

/// Whether the file is empty or its last byte ends a line.
bool ends_in_newline(int fd) {
  struct stat info {};
  char last = '\n';
  if (::fstat(fd, &info) != 0 || info.st_size == 0) return true;
  return ::pread(fd, &last, 1, info.st_size - 1) != 1 || last == '\n';
}

}  // namespace

OutputFolder::OutputFolder(fs::path path) : path_(std::move(path)) {
  if (path_.empty()) path_ = ".";
  fd_ = open_directory(path_);
  if (fd_ < 0 && errno == ENOENT) {
    constexpr mode_t kMode = 0777;
    const std::string name = path_.string();
    if (::mkdir(name.c_str(), kMode) != 0 && errno != EEXIST) {
      throw write_error(path_, errno, 0, -1);
    }
    fd_ = open_directory(path_);
  }
  if (fd_ < 0) throw write_error(path_ / "", errno, 0, -1);
}

OutputFolder::~OutputFolder() {
  if (fd_ >= 0) ::close(fd_);
}

bool OutputFolder::exists(const std::string& name) const {
  struct stat info {};
  return ::fstatat(fd_, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

std::optional<std::string> OutputFolder::read(const std::string& name, std::uint64_t most) const {
  const Opened file(repeat(
      [&] { return ::openat(fd_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK); }));
  struct stat info {};
  if (!file.ok() || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  if (static_cast<std::uint64_t>(info.st_size) > most) return {};
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        repeat([&] { return ::read(file.get(), bytes.data() + done, bytes.size() - done); });
    if (got <= 0) return {};
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::vector<std::string> OutputFolder::files() const {
  std::vector<std::string> names;
  const int listed = ::openat(fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(listed < 0 ? nullptr : ::fdopendir(listed),
                                                    ::closedir);
  if (!entries) throw write_error(path_ / "", errno, 0, -1);
  while (const dirent* entry = ::readdir(entries.get())) {
    const bool regular =
        entry->d_type == DT_REG || (entry->d_type == DT_UNKNOWN && is_regular(fd_, entry->d_name));
    if (regular) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void OutputFolder::write(const std::string& name, std::span<const std::byte> bytes,
                         IfExists if_exists) const {
  const std::array<std::span<const std::byte>, 1> parts = {bytes};
  write_parts_atomic(fd_, path_ / name, parts, if_exists);
}

void OutputFolder::append_line(const std::string& name, const std::string& line) const {
  constexpr mode_t kMode = 0666;
  const Opened file(repeat([&] {
    return ::openat(fd_, name.c_str(), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kMode);
  }));
  if (!file.ok()) throw write_error(path_ / name, errno, line.size(), fd_);
  // Several processes may append: one at a time sees whether the last line is whole.
  repeat([&] { return ::flock(file.get(), LOCK_EX); });
  const std::string text = (ends_in_newline(file.get()) ? "" : "\n") + line + "\n";
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote =
        repeat([&] { return ::write(file.get(), text.data() + done, text.size() - done); });
    if (wrote <= 0) throw write_error(path_ / name, wrote == 0 ? ENOSPC : errno, text.size(), fd_);
    done += static_cast<std::size_t>(wrote);
  }
}

void OutputFolder::remove(const std::string& name) const {
  if (::unlinkat(fd_, name.c_str(), 0) == 0 || errno == ENOENT) return;
  throw write_error(path_ / name, errno, 0, fd_);
}

int OutputFolder::sweep() const { return sweep_temporaries(fd_); }

}  // namespace ldm
