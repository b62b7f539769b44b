// ldm-convert IN OUT: any readable model → a diffusers folder, or one file in the original layout.

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "ldm/app/main_guard.h"
#include "ldm/app/tool_arguments.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/loading/export_model.h"
#include "ldm/loading/single_file.h"

namespace {

using ldm::cat;
namespace fs = std::filesystem;

struct Options {
  std::string in;
  std::string out;
  std::string dtype;
  std::string max_shard_size;
  std::string prediction_type;
  bool ema = false;
  bool no_ema = false;
  bool overwrite = false;
  bool json = false;
  bool quiet = false;
};

/// "5GB", "500MB", "1.5GiB", or bytes.
std::uint64_t parse_size(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, double>, 8> kUnits = {{{"", 1},
                                                                          {"B", 1},
                                                                          {"KB", 1e3},
                                                                          {"MB", 1e6},
                                                                          {"GB", 1e9},
                                                                          {"KiB", 1024.0},
                                                                          {"MiB", 1048576.0},
                                                                          {"GiB", 1073741824.0}}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr double kMost = 1e18;
  for (const auto& [name, factor] : kUnits) {
    const double bytes = number * factor;
    if (error != std::errc() || name != unit || !(bytes >= 1 && bytes <= kMost)) continue;
    return static_cast<std::uint64_t>(std::llround(bytes));
  }
  throw ldm::Error::usage(cat("--max-shard-size: \"", text, "\" is no size"),
                          "write it like 5GB or 500MB");
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("IN", o.in,
                 "diffusers folder, .safetensors, .ckpt, or org/name in the local cache");
  app.add_option("OUT", o.out, "folder to make, or FILE.safetensors for the original layout");
  app.add_option("--dtype", o.dtype, "fp32, fp16 or bf16 for all weights (default: as they are)");
  app.add_option("--max-shard-size", o.max_shard_size, "cut files larger than this (5GB, 500MB)");
  app.add_option("--prediction-type", o.prediction_type,
                 "epsilon, v_prediction or sample, for a single file that does not say");
  app.add_flag("--ema", o.ema, "take a single file's averaged weights");
  app.add_flag("--no-ema", o.no_ema, "take its plain weights");
  app.add_flag("--overwrite", o.overwrite, "replace files that are there");
  app.add_flag("--json", o.json, "one JSON event a line on stdout");
  app.add_flag("--quiet", o.quiet, "no information lines");
}

void check_options(const Options& o) {
  if (o.in.empty() || o.out.empty()) {
    throw ldm::Error::usage("expected IN and OUT", "ldm-convert model.ckpt model-folder");
  }
  if (o.ema && o.no_ema) throw ldm::Error::usage("--ema and --no-ema exclude each other");
  const std::vector<std::string> types = {"epsilon", "v_prediction", "sample"};
  if (!o.prediction_type.empty() &&
      std::find(types.begin(), types.end(), o.prediction_type) == types.end()) {
    throw ldm::Error::usage(cat("--prediction-type: no type \"", o.prediction_type, "\""),
                            ldm::did_you_mean(o.prediction_type, types));
  }
}

ldm::ModelFiles open_input(const Options& o) {
  const fs::path path = ldm::find_model(o.in);
  std::error_code error;
  if (fs::is_directory(path, error)) return ldm::open_model_folder(path);
  if (!fs::exists(path, error)) {
    throw ldm::Error::model(cat("no model at ", o.in), "name a diffusers folder or a file");
  }
  ldm::SingleFileOptions single;
  single.prediction_type = o.prediction_type;
  if (o.ema || o.no_ema) single.averaged = o.ema;
  single.needs_tokenizer = !o.out.ends_with(".safetensors");
  return ldm::open_single_file(path, single);
}

void tell(const ldm::ModelFiles& model, const ldm::ExportReport& report, const Options& o,
          ldm::app::Console& console) {
  console.info(cat(o.in, ": ", model.family.name));
  for (const std::string& line : model.family.evidence) console.info("  because " + line);
  for (const std::string& line : report.dropped) console.info("  dropped " + line);
  for (const std::string& line : report.warnings) {
    console.warning({ldm::LogLevel::kWarning, "conversion", line, {}});
  }
  console.info(cat(report.files.size(), " files, ",
                   ldm::human_bytes(static_cast<double>(report.bytes)), " of tensors, ",
                   report.converted, " of them in another dtype than before, ",
                   report.dropped.size(), " things dropped"));
  if (!console.json) {
    console.result(o.out);
    return;
  }
  std::vector<std::string> files;
  for (const fs::path& path : report.files) files.push_back(path.string());
  console.event({{"event", "converted"},
                 {"schema", 1},
                 {"family", model.family.name},
                 {"evidence", model.family.evidence},
                 {"files", files},
                 {"bytes", report.bytes},
                 {"converted", report.converted},
                 {"dropped", report.dropped},
                 {"warnings", report.warnings}});
}

void convert(std::span<const std::string> args, ldm::app::Session& session) {
  Options o;
  CLI::App app("Converts a model to a diffusers folder, or to one file in the original layout.",
               "ldm-convert");
  add_options(app, o);
  if (!ldm::app::parse_tool_arguments(app, args, session.console)) return;
  session.console.quiet = o.quiet;
  check_options(o);
  ldm::ExportOptions options;
  if (!o.dtype.empty()) options.dtype = ldm::parse_dtype(o.dtype);
  if (!o.max_shard_size.empty()) options.max_shard_bytes = parse_size(o.max_shard_size);
  options.overwrite = o.overwrite;
  const ldm::ModelFiles model = open_input(o);
  const ldm::ExportReport report = o.out.ends_with(".safetensors")
                                       ? ldm::export_single_file(model, o.out, options)
                                       : ldm::export_folder(model, o.out, options);
  tell(model, report, o, session.console);
}

}  // namespace

int main(int argc, char** argv) { return ldm::app::main_guard(argc, argv, convert, "ldm-convert"); }
