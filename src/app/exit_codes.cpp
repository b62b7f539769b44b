#include "ldm/app/exit_codes.h"

namespace ldm::app {
namespace {

constexpr ExitCode kExitCodes[] = {
    {0, "done"},
    {1, "internal"},
    {2, "usage"},
    {3, "prompt, image or jobs"},
    {4, "model"},
    {5, "output"},
    {6, "memory"},
    {7, "non-finite numbers"},
    {8, "some jobs failed or a replay differs"},
    {9, "folder in use"},
    {75, "time limit, continue later"},
    {130, "SIGINT"},
    {143, "SIGTERM"},
};

}  // namespace

std::span<const ExitCode> exit_codes() { return kExitCodes; }

}  // namespace ldm::app
