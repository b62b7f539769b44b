#include "ldm/io/folder_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
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

struct flock lock_of(short type, std::int64_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

bool set_lock(int fd, short type, std::int64_t byte) {
  struct flock lock = lock_of(type, byte);
  return uninterrupted([&] { return ::fcntl(fd, F_OFD_SETLK, &lock); }) == 0;
}

bool taken_by_another() { return errno == EAGAIN || errno == EACCES; }

/// Whether one process has the folder alone.
bool has_one_holder(int fd) {
  struct flock lock = lock_of(F_RDLCK, kModeByte);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
}

/// Whether a text "process 1234 on host" can be of a process that runs.
bool names_running(const std::string& text) {
  int pid = 0;
  return std::sscanf(text.c_str(), "process %d ", &pid) == 1 && pid > 0 &&
         (::kill(pid, 0) == 0 || errno != ESRCH);
}

/// "process 1234 on host": what a process that has the folder alone leaves in the file. It does so
/// just after it has locked it; until then the file is empty, or names one that was killed.
std::string holder(int fd) {
  constexpr int kTries = 50;
  constexpr auto kPause = std::chrono::milliseconds(2);
  std::array<char, 256> text{};
  std::string name = "other processes";
  for (int i = 0; i < kTries && has_one_holder(fd); ++i) {
    const ssize_t got = ::pread(fd, text.data(), text.size() - 1, 0);
    if (got > 0) name.assign(text.data(), static_cast<std::size_t>(got));
    if (got > 0 && names_running(name)) break;
    std::this_thread::sleep_for(kPause);
  }
  return escape_control(name);
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

  /// Takes the whole folder, alone or beside others.
  void lock_folder(short type) const {
    if (!lock(type, kModeByte)) throw_locked(cat("is being written to by ", holder(fd)));
  }

  /// False when another process has it.
  bool lock(short type, std::int64_t byte) const {
    if (set_lock(fd, type, byte)) return true;
    if (taken_by_another()) return false;
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
    state->lock_folder(F_WRLCK);
    if (!state->is_current()) continue;
    write_holder(state->fd, /*alone=*/true);
    return FolderLock(std::move(state));
  }
}

FolderLock FolderLock::shared(const OutputFolder& folder) {
  for (;;) {
    auto state = open(folder);
    state->lock_folder(F_RDLCK);
    if (!state->is_current()) continue;
    write_holder(state->fd, /*alone=*/false);
    return FolderLock(std::move(state));
  }
}

FolderLock FolderLock::shard(const OutputFolder& folder, std::int64_t index, std::int64_t count) {
  FolderLock lock = shared(folder);
  constexpr std::int64_t kMostShards = std::int64_t{1} << 20;
  if (!lock.state_->lock(F_WRLCK, kShards + count * kMostShards + index)) {
    lock.state_->throw_locked(cat("shard ", index, "/", count, " is running already"));
  }
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
