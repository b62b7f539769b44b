#include "ldm/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

[[noreturn]] void cannot_open(const std::filesystem::path& path, int error) {
  const std::string what = path.string() + ": ";
  switch (error) {
    case ENOENT:
      throw Error::model(what + "no such file", "check the path");
    case EACCES:
    case EPERM:
      throw Error::model(what + "no permission to read it", "chmod +r, or run as its owner");
    case EMFILE:
    case ENFILE:
      throw Error::model(what + "too many open files", "raise `ulimit -n`");
    default:
      throw Error::model(what + "cannot be opened: " + reason(error));
  }
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a regular file";
}

std::int64_t nanoseconds(const struct timespec& time) {
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

FileStamp stamp_of(const struct stat& info) {
  return {info.st_dev, info.st_ino, static_cast<std::uint64_t>(info.st_size),
          nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

}  // namespace

std::string FileStamp::text() const {
  return cat("device ", device, ", inode ", inode, ", ", size, " bytes, modified ", modified,
             ", changed ", changed);
}

std::chrono::system_clock::time_point FileStamp::last_change() const {
  return std::chrono::system_clock::time_point(
      std::chrono::nanoseconds(std::max(modified, changed)));
}

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer; regular files ignore it.
  do {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  } while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) cannot_open(path, errno);
  struct stat info {};
  if (::fstat(fd_, &info) != 0) {
    const int error = errno;
    close();
    cannot_open(path, error);
  }
  if (!S_ISREG(info.st_mode)) {
    close();
    throw Error::model(path.string() + ": expected a file, found " + kind_of(info.st_mode),
                       "name the file itself");
  }
  stamp_ = stamp_of(info);
}

InputFile::~InputFile() { close(); }

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), stamp_(other.stamp_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  if (this == &other) return *this;
  close();
  path_ = std::move(other.path_);
  fd_ = std::exchange(other.fd_, -1);
  stamp_ = other.stamp_;
  return *this;
}

void InputFile::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void InputFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (offset > kMost || out.size() > kMost - offset) {
    throw Error::model(cat(path_.string(), ": offset ", offset, " is beyond any file"));
  }
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error::model(
          cat(path_.string(), ": reading ", out.size(), " bytes at ", offset, ": ", reason(errno)));
    }
    if (got == 0) {
      throw Error::model(cat(path_.string(), ": the file ends at byte ", offset + done,
                             ", expected ", out.size() - done, " more"),
                         "the file is incomplete or being written; download or copy it again");
    }
    done += static_cast<std::size_t>(got);
  }
}

void InputFile::check_unchanged() const {
  struct stat info {};
  if (::fstat(fd_, &info) == 0) {
    // Another name or another owner changes nothing of what is read.
    FileStamp now = stamp_of(info);
    now.changed = stamp_.changed;
    if (now == stamp_) return;
  }
  throw Error::model_rule("E_FILE_CHANGED", path_.string() + ": changed while it was read",
                          "wait until the download or copy has finished, then run again");
}

void InputFile::advise_sequential() const {
  // Only advice: a file system without it loses nothing but speed.
  static_cast<void>(::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL));
}

std::string read_small_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes) {
    throw Error::model(
        cat(path.string(), ": ", file.size(), " bytes, more than the ", max_bytes, " allowed"));
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

}  // namespace ldm
