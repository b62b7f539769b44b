#include "ldm/app/commands.h"

#include "ldm/core/environment.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/model_files.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

/// The model as the user named it; empty: the default one.
std::string named_model(const Options& options) {
  return options.model ? *options.model : environment("LDM_MODEL");
}

}  // namespace

fs::path resolve_model(const Options& options) {
  if (options.model && options.model->empty()) throw Error::usage("--model: the path is empty");
  const std::string model = named_model(options);
  if (model.empty()) return default_model();
  std::error_code ignored;
  return fs::is_directory(model, ignored) ? fs::path(model) : find_model(model);
}

std::string model_display_name(const Options& options, const fs::path& folder) {
  const std::string model = named_model(options);
  std::error_code ignored;
  if (!model.empty() && !fs::exists(model, ignored)) return model;
  const fs::path absolute = fs::weakly_canonical(folder, ignored);
  return absolute.empty() ? folder.filename().string() : absolute.filename().string();
}

void choose_recorded_model(Options& options, const std::string& name) {
  std::error_code ignored;
  if (options.model || name.empty()) return;
  const bool from_environment = !named_model(options).empty();
  if (from_environment && model_display_name(options, resolve_model(options)) == name) return;
  if (name == default_model().filename()) {
    options.model = default_model().string();
  } else if (is_repository_name(name) && !fs::exists(name, ignored)) {
    // Such a path would be a file that the picture chose.
    options.model = name;
  } else if (!from_environment) {
    throw Error::usage(cat("the picture was made with the model \"", name, "\""),
                       "say where it is with --model");
  }
}

void run_command_line(std::span<const std::string> args, Session& session) {
  if (args.empty()) {
    throw Error::usage("nothing to do",
                       "ldm-gen --prompt \"a red apple on a blue background\"; --help lists all");
  }
  const Invocation invocation = parse_command_line(args);
  Console& console = session.console;
  console.json = invocation.options.json.value_or(false);
  if (invocation.action == Invocation::Action::kHelp) {
    const std::string text = help_text(invocation.command);
    console.result(text.substr(0, text.size() - 1));
  } else if (invocation.action == Invocation::Action::kVersion) {
    console.result(version_text());
  } else if (invocation.command == "samplers") {
    list_samplers(invocation.options, console);
  } else if (invocation.command == "tokens") {
    show_tokens(invocation.options, console);
  } else if (invocation.command == "verify") {
    verify_model(invocation.argument, invocation.options, console);
  } else if (invocation.command == "status") {
    show_status(invocation.argument, console);
  } else if (invocation.command == "merge") {
    merge_journals(invocation.argument, console);
  } else if (invocation.command == "encode") {
    encode_picture(invocation.argument, invocation.options, console);
  } else if (invocation.command == "decode") {
    decode_pictures(invocation.argument, invocation.options, console);
  } else if (invocation.command == "inspect") {
    inspect_model(invocation.argument, invocation.options, console);
  } else if (invocation.command == "replay") {
    replay(invocation.argument, invocation.options, session);
  } else if (invocation.command == "gallery") {
    make_gallery(invocation.argument, invocation.options, console);
  } else if (invocation.command == "completion") {
    print_completion(invocation.argument, console);
  } else {
    generate(invocation.options, session);
  }
}

}  // namespace ldm::app
