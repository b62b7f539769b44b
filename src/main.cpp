#include "ldm/app/commands.h"
#include "ldm/app/main_guard.h"

int main(int argc, char** argv) {
  return ldm::app::main_guard(argc, argv, ldm::app::run_command_line);
}
