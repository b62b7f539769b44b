#include "ldm/io/folder_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/descriptor.h"

namespace ldm {
namespace {

constexpr const char* kName = ".ldm-lock";
constexpr const char* kBatchHint =
    "wait for it, name another --output-dir, or let several processes share the folder with "
    "--shared or --shard";
/// What the bytes of the file stand for when they are locked. The file holds only a few of them:
/// locks may lie beyond its end.
constexpr std::int64_t kModeByte = 0;  ///< exclusively: one process alone; shared: several
constexpr std::int64_t kShards = std::int64_t{1} << 32;
constexpr std::int64_t kClaims = std::int64_t{1} << 56;

bool set_lock(int fd, short type, std::int64_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return uninterrupted([&] { return ::fcntl(fd, F_OFD_SETLK, &lock); }) == 0;
}

bool taken_by_another() { return errno == EAGAIN || errno == EACCES; }

/// "process 1234 on host": what a process that has the folder alone leaves in the file.
std::string holder(int fd) {
  std::array<char, 256> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size() - 1, 0);
  return got > 0 ? escape_control(std::string(text.data(), static_cast<std::size_t>(got)))
                 : "other processes";
}

void write_holder(int fd, bool alone) {
  std::array<char, 128> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const std::string text = alone ? cat("process ", ::getpid(), " on ", host.data()) : "";
  // Only for the message of those who come later: a full disk must not stop this process.
  if (::ftruncate(fd, 0) != 0) return;
  if (::pwrite(fd, text.data(), text.size(), 0) < 0) return;
}

}  // namespace

struct FolderLock::State {
  const OutputFolder* folder = nullptr;
  int fd = -1;
  std::string hint;

  ~State() {
    if (fd < 0) return;
    // Whoever can have the folder alone is the last one, and takes the file away.
    if (set_lock(fd, F_WRLCK, kModeByte) && is_current()) {
      ::unlinkat(folder->descriptor(), kName, 0);
    }
    ::close(fd);
  }

  [[noreturn]] void throw_locked(const std::string& what) const {
    throw Error::locked(cat(folder->path().string(), ": ", what), hint);
  }

  void lock(short type, std::int64_t byte, const std::string& taken) const {
    if (set_lock(fd, type, byte)) return;
    if (taken_by_another()) throw_locked(taken);
    throw Error::output(cat(folder->path().string(), ": cannot lock: ", std::strerror(errno)));
  }

  /// Whether the lock file still has its name: the last process may just have removed it.
  bool is_current() const {
    struct stat here {};
    struct stat there {};
    return ::fstat(fd, &here) == 0 &&
           ::fstatat(folder->descriptor(), kName, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           here.st_ino == there.st_ino && here.st_dev == there.st_dev;
  }
};

std::unique_ptr<FolderLock::State> FolderLock::open(const OutputFolder& folder,
                                                    const std::string& hint) {
  constexpr mode_t kMode = 0666;
  auto state = std::make_unique<State>();
  state->folder = &folder;
  state->hint = hint.empty() ? kBatchHint : hint;
  state->fd = uninterrupted([&] {
    return ::openat(folder.descriptor(), kName, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kMode);
  });
  if (state->fd >= 0) return state;
  throw Error::output(
      cat((folder.path() / kName).string(), ": cannot write: ", std::strerror(errno)),
      "check that you may write there, and that the disk is not full");
}

FolderLock::FolderLock(std::unique_ptr<State> state) : state_(std::move(state)) {}
FolderLock::FolderLock(FolderLock&&) noexcept = default;
FolderLock::~FolderLock() = default;

FolderLock FolderLock::alone(const OutputFolder& folder, const std::string& hint) {
  for (;;) {
    auto state = open(folder, hint);
    const std::string who = cat("is being written to by ", holder(state->fd));
    state->lock(F_WRLCK, kModeByte, who);
    if (!state->is_current()) continue;
    write_holder(state->fd, /*alone=*/true);
    return FolderLock(std::move(state));
  }
}

FolderLock FolderLock::shared(const OutputFolder& folder) {
  for (;;) {
    auto state = open(folder);
    state->lock(F_RDLCK, kModeByte, cat("is being written to by ", holder(state->fd)));
    if (!state->is_current()) continue;
    write_holder(state->fd, /*alone=*/false);
    return FolderLock(std::move(state));
  }
}

FolderLock FolderLock::shard(const OutputFolder& folder, std::int64_t index, std::int64_t count) {
  FolderLock lock = shared(folder);
  constexpr std::int64_t kMostShards = std::int64_t{1} << 20;
  lock.state_->lock(F_WRLCK, kShards + count * kMostShards + index,
                    cat("shard ", index, "/", count, " is running already"));
  return lock;
}

bool FolderLock::claim(std::int64_t number) {
  if (set_lock(state_->fd, F_WRLCK, kClaims + number)) return true;
  if (taken_by_another()) return false;
  throw Error::output(
      cat(state_->folder->path().string(), ": cannot lock: ", std::strerror(errno)));
}

void FolderLock::release(std::int64_t number) { set_lock(state_->fd, F_UNLCK, kClaims + number); }

}  // namespace ldm
