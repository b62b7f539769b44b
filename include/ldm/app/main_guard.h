#pragma once

#include <functional>
#include <span>
#include <string>

#include "ldm/app/session.h"

namespace ldm::app {

/// What a program does with its arguments; errors leave it as exceptions.
using Command = std::function<void(std::span<const std::string> args, Session& session)>;

/// Runs a command and gives back the process' exit code: the one place that catches. Sets up
/// signals, standard streams and the log sink; an error becomes one line and a hint on stderr, and
/// with --json an `error` and a `done` event. `program` begins error lines.
int main_guard(int argc, char** argv, const Command& command,
               const std::string& program = "ldm-gen");

}  // namespace ldm::app
