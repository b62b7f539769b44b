#include "ldm/io/output_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "ldm/core/error.h"
#include "ldm/io/descriptor.h"
#include "ldm/io/folder_lock.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return static_cast<ErrorCode>(0);
}

/// What `action` returns in another process.
int in_child(const std::function<int()>& action) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(action());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("an output folder is made, and stays the same folder when its path does not") {
  const test::TempDir dir;
  const OutputFolder folder(dir / "out");
  folder.write("a.txt", bytes_of("one"), IfExists::kRefuse);
  fs::rename(dir / "out", dir / "moved");
  fs::create_directory_symlink("/tmp", dir / "out");
  folder.write("b.txt", bytes_of("two"), IfExists::kRefuse);
  CHECK(folder.files() == std::vector<std::string>{"a.txt", "b.txt"});
  CHECK(fs::exists(dir / "moved" / "b.txt"));
  CHECK_FALSE(fs::exists("/tmp/b.txt"));
  CHECK(folder.read("b.txt", 100) == "two");
  CHECK(code_of([&] { OutputFolder(dir / "no" / "where"); }) == ErrorCode::kOutput);
  CHECK(code_of([&] { OutputFolder(dir.write("file", "x")); }) == ErrorCode::kOutput);
}

TEST_CASE("an output folder that cannot be listed is an output error that says why") {
  const test::TempDir dir;
  const OutputFolder folder(dir.path() / "out");
  // A file where the open folder was, so that listing fails.
  const Descriptor file(::open((dir.path() / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::dup2(file.get(), folder.descriptor()) == folder.descriptor());
  try {
    folder.files();
    FAIL("listed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kOutput);
    CHECK_THAT(error.message(), Catch::EndsWith("out: Not a directory"));
  }
}

TEST_CASE("links in an output folder are neither read nor written through") {
  const test::TempDir dir;
  const OutputFolder folder(dir / "out");
  const fs::path secret = dir.write("secret", "s");
  fs::create_symlink(secret, dir / "out" / "link.png");
  CHECK(folder.exists("link.png"));
  CHECK_FALSE(folder.read("link.png", 100).has_value());
  CHECK(code_of([&] { folder.write("link.png", bytes_of("x"), IfExists::kKeepIdentical); }) ==
        ErrorCode::kOutput);
  CHECK(code_of([&] { folder.append_line("link.png", "x"); }) == ErrorCode::kOutput);
  CHECK(folder.files().empty());
  CHECK(fs::file_size(secret) == 1);
}

TEST_CASE("appended lines are whole whatever stood before them") {
  const test::TempDir dir;
  const OutputFolder folder(dir.path());
  folder.append_line("log", "one");
  folder.append_line("log", "two");
  CHECK(folder.read("log", 100) == "one\ntwo\n");
  dir.write("log", "one\ntor");
  folder.append_line("log", "two");
  CHECK(folder.read("log", 100) == "one\ntor\ntwo\n");
  CHECK_FALSE(folder.read("log", 5).has_value());
}

TEST_CASE("temporary files are swept when their writer is gone") {
  const test::TempDir dir;
  const OutputFolder folder(dir.path());
  dir.write(".ldm-1-0.tmp", "dead");
  dir.write(".ldm-x", "kept");
  dir.write("picture.tmp", "kept");
  const fs::path alive = dir.write(".ldm-2-0.tmp", "alive");
  const int fd = ::open(alive.c_str(), O_WRONLY);
  REQUIRE(::flock(fd, LOCK_EX) == 0);
  CHECK(folder.sweep() == 1);
  CHECK(folder.files() == std::vector<std::string>{".ldm-2-0.tmp", ".ldm-x", "picture.tmp"});
  ::close(fd);
  CHECK(folder.sweep() == 1);
}

TEST_CASE("one process has a folder alone") {
  const test::TempDir dir;
  const OutputFolder folder(dir.path());
  {
    const FolderLock lock = FolderLock::alone(folder);
    CHECK(in_child([&] {
            const OutputFolder same(dir.path());
            try {
              const FolderLock second = FolderLock::alone(same);
            } catch (const Error& error) {
              const std::string who = "process " + std::to_string(::getppid());
              const bool named = error.message().find(who) != std::string::npos;
              return error.code() == ErrorCode::kLocked && named ? 1 : 3;
            }
            return 2;
          }) == 1);
    const auto refused = [&](const std::function<void()>& take) {
      return in_child([&] { return static_cast<int>(code_of(take)); });
    };
    CHECK(refused([&] { FolderLock::shared(OutputFolder(dir.path())); }) == 9);
    CHECK(refused([&] { FolderLock::shard(OutputFolder(dir.path()), 0, 2); }) == 9);
  }
  CHECK(folder.files().empty());
  CHECK(in_child([&] {
          const OutputFolder same(dir.path());
          const FolderLock lock = FolderLock::alone(same);
          ::_exit(7);  // as a killed process: no destructor runs
          return 0;
        }) == 7);
  const FolderLock again = FolderLock::alone(folder);
  const OutputFolder same(dir.path());
  try {
    FolderLock::alone(same, "choose another folder");
    FAIL("locked twice");
  } catch (const Error& error) {
    CHECK(error.hint() == "choose another folder");
  }
}

TEST_CASE("a process that has only just locked the folder is named too") {
  const test::TempDir dir;
  const OutputFolder folder(dir.path());
  // What a killed process left; then another locks the folder and is slow to write its name.
  const fs::path file = dir.write(".ldm-lock", "process 2147483000 on nowhere");
  const int fd = ::open(file.c_str(), O_RDWR);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  REQUIRE(::fcntl(fd, F_OFD_SETLK, &lock) == 0);
  const std::string name = "process " + std::to_string(::getpid()) + " on here";
  std::thread slow([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(::pwrite(fd, name.data(), name.size(), 0) == static_cast<ssize_t>(name.size()));
    CHECK(::ftruncate(fd, static_cast<off_t>(name.size())) == 0);
  });
  std::string message;
  try {
    FolderLock::alone(folder);
  } catch (const Error& error) {
    message = error.message();
  }
  slow.join();
  ::close(fd);
  CHECK(message.find("is being written to by " + name) != std::string::npos);
}

TEST_CASE("shards and shared processes keep apart only where they must") {
  const test::TempDir dir;
  const OutputFolder folder(dir.path());
  FolderLock mine = FolderLock::shard(folder, 0, 2);
  const auto code = [&](const std::function<void(const OutputFolder&)>& take) {
    return in_child([&] {
      const OutputFolder same(dir.path());
      return static_cast<int>(code_of([&] { take(same); }));
    });
  };
  CHECK(code([](const OutputFolder& f) { FolderLock::shard(f, 1, 2); }) == 0);
  CHECK(code([](const OutputFolder& f) { FolderLock::shard(f, 0, 2); }) == 9);
  CHECK(code([](const OutputFolder& f) { FolderLock::shard(f, 0, 3); }) == 0);
  CHECK(code([](const OutputFolder& f) { FolderLock::shared(f); }) == 0);
  CHECK(code([](const OutputFolder& f) { FolderLock::alone(f); }) == 9);

  CHECK(mine.claim(5));
  CHECK(mine.claim(5));
  const auto claims = [&](std::int64_t number) {
    return in_child([&] {
      const OutputFolder same(dir.path());
      FolderLock lock = FolderLock::shared(same);
      return lock.claim(number) ? 1 : 0;
    });
  };
  CHECK(claims(5) == 0);
  CHECK(claims(6) == 1);
  mine.release(5);
  CHECK(claims(5) == 1);
}

}  // namespace
}  // namespace ldm
