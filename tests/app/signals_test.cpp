#include "ldm/app/signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tests/support/catch.h"

namespace ldm::app {
namespace {

#if defined(__x86_64__)

/// Sends this process a signal while the stack pointer is at the end of `memory`, as in code that
/// oneDNN generates.
void interrupt_with_stack_in(std::vector<char>& memory) {
  long call = SYS_kill;
  char* const end = memory.data() + memory.size();
  asm volatile(
      "mov %%rsp, %%rbx\n\t"
      "mov %[end], %%rsp\n\t"
      "syscall\n\t"
      "mov %%rbx, %%rsp"
      : "+a"(call)
      : "D"(::getpid()), "S"(SIGINT), [end] "r"(end)
      : "rbx", "rcx", "r11", "memory");
}

/// In a process of its own, which keeps this one from being interrupted; 0: all is well.
int child() {
  install_signal_handlers();
  std::vector<char> memory(std::size_t{1} << 16, 'x');
  interrupt_with_stack_in(memory);
  if (received_signal() != SIGINT) return 1;
  return std::all_of(memory.begin(), memory.end(), [](char c) { return c == 'x'; }) ? 0 : 2;
}

#endif

}  // namespace

#if defined(__x86_64__)

TEST_CASE("a signal's handler writes nothing where the stack pointer is") {
  const pid_t process = ::fork();
  if (process == 0) ::_exit(child());
  int status = 0;
  REQUIRE(::waitpid(process, &status, 0) == process);
  CHECK(status == 0);
}

#endif

}  // namespace ldm::app
