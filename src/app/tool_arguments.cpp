#include "ldm/app/tool_arguments.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"

namespace ldm::app {

bool parse_tool_arguments(CLI::App& tool, std::span<const std::string> args, Console& console) {
  const std::string version = cat(tool.get_name(), " ", ldm::version(), " (", revision(), ")");
  tool.set_version_flag("--version", version, "show the version");
  try {
    tool.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::CallForHelp&) {
    const std::vector<CLI::App*> chosen = tool.get_subcommands();
    console.result(chosen.empty() ? tool.help() : chosen.front()->help());
    return false;
  } catch (const CLI::CallForVersion&) {
    console.result(version);
    return false;
  } catch (const CLI::ParseError& error) {
    throw Error::usage(error.what(), cat("see ", tool.get_name(), " --help"));
  }
  return true;
}

}  // namespace ldm::app
