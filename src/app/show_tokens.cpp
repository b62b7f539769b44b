#include <array>
#include <cstdio>

#include "ldm/app/commands.h"
#include "ldm/app/events.h"
#include "ldm/app/inputs.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/model_files.h"
#include "ldm/text/tokenizer.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

/// The tokenizer of a model in any layout, or of a folder that is itself a tokenizer.
fs::path tokenizer_folder(const fs::path& model) {
  std::error_code ignored;
  if (fs::is_directory(model / "tokenizer", ignored)) return model / "tokenizer";
  const bool is_model =
      fs::is_regular_file(model, ignored) || fs::exists(model / "model_index.json", ignored);
  const fs::path folder = is_model ? open_model(model).tokenizer : model;
  if (!folder.empty()) return folder;
  throw Error::model(cat(model.string(), ": this model has no tokenizer: it reads no prompt"));
}

void print_table(const Encoding& encoding, std::size_t capacity, Console& console) {
  std::size_t shown = encoding.ids.size();
  while (shown > 1 && encoding.ids[shown - 1] == encoding.ids[shown - 2]) --shown;
  for (std::size_t i = 0; i < shown; ++i) {
    std::array<char, 48> columns{};
    std::snprintf(columns.data(), columns.size(), "%3zu %6lld  ", i,
                  static_cast<long long>(encoding.ids[i]));
    console.result(columns.data() + escape_control(encoding.pieces[i]));
  }
  const std::size_t padding = encoding.ids.size() - shown;
  if (padding > 0) console.result(cat("    and the last one ", padding, " times more"));
  console.result(cat(encoding.token_count, " tokens of ", capacity));
  if (!encoding.cut_text.empty()) {
    console.result(cat("cut off: \"", escape_control(encoding.cut_text), "\""));
  }
}

}  // namespace

void show_tokens(const Options& options, Console& console) {
  const std::string prompt = read_prompt(options.prompt.value_or(""));
  check_prompt(prompt, "prompt");
  const auto tokenizer = open_tokenizer(tokenizer_folder(resolve_model(options)));
  const Encoding encoding = tokenizer->encode(prompt);
  if (!console.json) {
    print_table(encoding, tokenizer->capacity(), console);
    return;
  }
  nlohmann::ordered_json out = {{"schema", 1}};
  out["prompt"] = prompt;
  out["ids"] = encoding.ids;
  out["pieces"] = encoding.pieces;
  out["token_count"] = encoding.token_count;
  out["max_length"] = tokenizer->max_length();
  out["cut_text"] = encoding.cut_text;
  console.result(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace ldm::app
