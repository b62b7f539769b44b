#include "ldm/io/file.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::Contains;

namespace fs = std::filesystem;
using test::error_of;

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST_CASE("reads take an offset and say how many bytes are missing") {
  const test::TempDir folder;
  const InputFile file(folder.write("a.bin", "0123456789"));
  CHECK(file.size() == 10);
  std::array<std::byte, 4> bytes{};
  file.read_at(3, bytes);
  CHECK(std::to_integer<char>(bytes[0]) == '3');
  const auto error = error_of([&] { file.read_at(8, bytes); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::kModel);
  CHECK_THAT(error->message(), Contains("a.bin: the file ends at byte 10, expected 2 more"));
  CHECK(error_of([&] { file.read_at(~std::uint64_t{0}, bytes); }));
}

TEST_CASE("what is not a readable file is refused in words") {
  const test::TempDir folder;
  const auto message = [](const fs::path& path) {
    const auto error = error_of([&] { InputFile{path}; });
    return error && error->code() == ErrorCode::kModel ? error->message() : "none";
  };
  CHECK_THAT(message(folder / "none"), Contains("none: no such file"));
  CHECK_THAT(message(folder.path()), Contains("expected a file, found a folder"));
  CHECK_THAT(message("/dev/zero"), Contains("expected a file, found a device"));
  const fs::path pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_THAT(message(pipe), Contains("expected a file, found a pipe"));
  fs::create_symlink(folder.write("real", "x"), folder / "link");
  CHECK(read_small_file(folder / "link", 10) == "x");
  if (::geteuid() != 0) {
    const fs::path secret = folder.write("secret", "x");
    fs::permissions(secret, fs::perms::none);
    CHECK_THAT(message(secret), Contains("no permission"));
  }
}

TEST_CASE("a file that changes while it is read is an error (checklist 29)") {
  const test::TempDir folder;
  const fs::path path = folder.write("a.bin", "0123456789");
  const InputFile file(path);
  CHECK_FALSE(error_of([&] { file.check_unchanged(); }));
  std::ofstream(path, std::ios::app) << "more";
  CHECK(test::rule_of([&] { file.check_unchanged(); }) == "E_FILE_CHANGED");
}

TEST_CASE("an atomic write appears whole and leaves nothing else") {
  const test::TempDir folder;
  const fs::path path = folder / "out.txt";
  write_file_atomic(path, "first", IfExists::kRefuse);
  CHECK(test::slurp(path) == "first");
  SECTION("refuse") {
    const auto error = error_of([&] { write_file_atomic(path, "second", IfExists::kRefuse); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::kOutput);
    CHECK_THAT(error->message(), Contains("already exists"));
    CHECK_THAT(error->hint(), Contains("--overwrite"));
    CHECK(test::slurp(path) == "first");
  }
  SECTION("replace") {
    write_file_atomic(path, "second", IfExists::kReplace);
    CHECK(test::slurp(path) == "second");
  }
  SECTION("keep identical") {
    write_file_atomic(path, "first", IfExists::kKeepIdentical);
    for (const char* other : {"First", "firs", "first!", ""}) {
      CHECK(error_of([&] { write_file_atomic(path, other, IfExists::kKeepIdentical); }));
    }
    CHECK(test::slurp(path) == "first");
    write_file_atomic(folder / "new", "", IfExists::kKeepIdentical);
    CHECK(fs::file_size(folder / "new") == 0);
    fs::remove(folder / "new");
  }
  SECTION("a symbolic link at the name is replaced or refused, never followed") {
    const fs::path target = folder.write("target", "keep");
    const fs::path link = folder / "link";
    fs::create_symlink(target, link);
    CHECK(error_of([&] { write_file_atomic(link, "new", IfExists::kRefuse); }));
    CHECK(error_of([&] { write_file_atomic(link, "keep", IfExists::kKeepIdentical); }));
    write_file_atomic(link, "new", IfExists::kReplace);
    CHECK(test::slurp(target) == "keep");
    CHECK_FALSE(fs::is_symlink(link));
    fs::remove(target);
    fs::remove(link);
  }
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("parts are written one after the other") {
  const test::TempDir folder;
  const std::string a = "ab";
  const std::string b(100'000, 'c');
  const std::array<std::span<const std::byte>, 3> parts = {
      std::as_bytes(std::span(a)), std::as_bytes(std::span("", 0)), std::as_bytes(std::span(b))};
  write_parts_atomic(folder / "p", parts, IfExists::kRefuse);
  CHECK(test::slurp(folder / "p") == a + b);
  write_parts_atomic(folder / "p", parts, IfExists::kKeepIdentical);
}

TEST_CASE("outputs that cannot be are refused with the reason") {
  const test::TempDir folder;
  const auto message = [](const fs::path& path, IfExists if_exists = IfExists::kReplace) {
    const auto error = error_of([&] { write_file_atomic(path, "x", if_exists); });
    return error && error->code() == ErrorCode::kOutput ? error->message() : "none";
  };
  CHECK_THAT(message(folder / "none/a.png"), Contains("the folder does not exist"));
  CHECK_THAT(message(folder.write("file", "x") / "a.png"), Contains("not a folder"));
  CHECK_THAT(message(folder / std::string(300, 'n')), Contains("file name is too long"));
  CHECK_THAT(message(folder.path() / ""), Contains("names no file"));
  CHECK_THAT(message(folder.path()), Contains("is a folder"));
  CHECK_THAT(message(folder.path(), IfExists::kRefuse), Contains("already exists"));
  CHECK(message("/proc/ldm-test.png") != "none");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("an output folder is probed and left as it was") {
  const test::TempDir folder;
  check_output_folder(folder.path());
  check_output_folder("");
  CHECK(entries(folder.path()) == 0);
  const auto error = error_of([&] { check_output_folder(folder / "none"); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::kOutput);
  CHECK_THAT(error->hint(), Contains("mkdir -p"));
  CHECK(error_of([&] { check_output_folder(folder.write("file", "x")); }));
  CHECK(error_of([] { check_output_folder("/proc"); }));
}

// Runs `action` in a child process and gives its exit status, since it changes process-wide limits.
template <typename Action>
int in_child(Action action) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(action());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("a write that fails half-way removes its temporary file and keeps the old output") {
  const test::TempDir folder;
  const fs::path path = folder.write("out", "old");
  const int status = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    const auto error =
        error_of([&] { write_file_atomic(path, std::string(5000, 'x'), IfExists::kReplace); });
    return error && error->code() == ErrorCode::kOutput &&
                   error->message().find("larger than files may be") != std::string::npos
               ? 0
               : 1;
  });
  CHECK(status == 0);
  CHECK(test::slurp(path) == "old");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a full disk is named with the bytes needed and free") {
  const test::TempDir folder;
  constexpr int kNotPermitted = 77;
  const int status = in_child([&] {
    if (::unshare(CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      return kNotPermitted;
    }
    const auto error = error_of(
        [&] { write_file_atomic(folder / "out", std::string(1U << 20U, 'x'), IfExists::kRefuse); });
    const bool named = error && error->message().find("the disk is full (needed 1.0 MiB, free ") !=
                                    std::string::npos;
    return named && entries(folder.path()) == 0 ? 0 : 1;
  });
  if (status == kNotPermitted) {
    WARN("mounting a small disk is not permitted here: full-disk test skipped");
    return;
  }
  CHECK(status == 0);
}

TEST_CASE("of many writers that refuse, exactly one wins") {
  const test::TempDir folder;
  std::atomic<int> won{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto error = error_of(
          [&] { write_file_atomic(folder / "out", std::to_string(i), IfExists::kRefuse); });
      if (!error) ++won;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(won == 1);
  CHECK(entries(folder.path()) == 1);
}

}  // namespace
}  // namespace ldm
