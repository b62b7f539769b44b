#include "tests/support/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <stdexcept>

namespace ldm::test {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    read = ends[0];
    write = ends[1];
  }
  ~Pipe() {
    close_end(read);
    close_end(write);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  static void close_end(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
};

[[noreturn]] void become(const std::vector<std::string>& command, const ProgramSetup& setup,
                         const Pipe& in, const Pipe& out, const Pipe& err) {
  dup2(in.read, STDIN_FILENO);
  dup2(err.write, STDERR_FILENO);
  if (setup.out == ProgramSetup::Stdout::kClosed) {
    close(STDOUT_FILENO);
  } else {
    dup2(out.write, STDOUT_FILENO);
  }
  if (!setup.folder.empty() && chdir(setup.folder.c_str()) != 0) _exit(127);
  for (const auto& [name, value] : setup.variables) setenv(name.c_str(), value.c_str(), 1);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_DFL);
  std::vector<char*> argv;
  for (const std::string& arg : command) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

/// Appends what is there; false at the end of the stream.
bool drain(int fd, std::string& to) {
  std::array<char, 65536> buffer{};
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got > 0) to.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0;
}

void collect(pid_t child, const ProgramSetup& setup, Pipe& out, Pipe& err, ProgramResult& result) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(setup.timeout_s);
  bool signalled = setup.signal == 0 && !setup.instead;
  while (out.read >= 0 || err.read >= 0) {
    std::array<pollfd, 2> streams = {pollfd{out.read, POLLIN, 0}, pollfd{err.read, POLLIN, 0}};
    poll(streams.data(), streams.size(), 100);
    if (streams[0].revents != 0 && !drain(out.read, result.out)) Pipe::close_end(out.read);
    if (streams[1].revents != 0 && !drain(err.read, result.err)) Pipe::close_end(err.read);
    if (!signalled && result.out.find(setup.signal_at) != std::string::npos) {
      setup.instead ? setup.instead(child) : static_cast<void>(kill(child, setup.signal));
      signalled = true;
    }
    if (Clock::now() > end) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
      throw std::runtime_error("the program did not end in time: " + result.err);
    }
  }
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& command, const ProgramSetup& setup) {
  Pipe in;
  Pipe out;
  Pipe err;
  if (setup.out == ProgramSetup::Stdout::kBrokenPipe) Pipe::close_end(out.read);
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) become(command, setup, in, out, err);
  Pipe::close_end(in.read);
  Pipe::close_end(out.write);
  Pipe::close_end(err.write);
  if (setup.out == ProgramSetup::Stdout::kClosed) Pipe::close_end(out.read);
  const ssize_t wrote = write(in.write, setup.input.data(), setup.input.size());
  static_cast<void>(wrote);
  Pipe::close_end(in.write);
  ProgramResult result;
  collect(child, setup, out, err, result);
  int status = 0;
  waitpid(child, &status, 0);
  result.killed = WIFSIGNALED(status);
  result.exit_code = result.killed ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  if (result.exit_code == 127) throw std::runtime_error("cannot run " + command.front());
  return result;
}

}  // namespace ldm::test
