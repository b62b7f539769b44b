#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ldm::test {

/// How a program is started.
struct ProgramSetup {
  enum class Stdout { kCaptured, kClosed, kBrokenPipe };
  std::string input;                             ///< its stdin
  std::map<std::string, std::string> variables;  ///< added to the environment
  std::filesystem::path folder;                  ///< working folder; empty: this one's
  Stdout out = Stdout::kCaptured;
  std::string signal_at;  ///< text on stdout upon which `signal` is sent, once
  int signal = 0;
  std::function<void(int pid)> instead;  ///< called then with the process in place of the signal
  double timeout_s = 120;                ///< then it is killed
};

/// What came of it. `exit_code` is 128 + signal for one that a signal ended, as shells report it.
struct ProgramResult {
  int exit_code = 0;
  bool killed = false;  ///< ended by a signal rather than by itself
  std::string out;
  std::string err;
};

/// Runs a program (by path, or as a shell finds it) to its end. Throws std::runtime_error when it
/// cannot be started or times out.
ProgramResult run_program(const std::vector<std::string>& command, const ProgramSetup& setup = {});

}  // namespace ldm::test
