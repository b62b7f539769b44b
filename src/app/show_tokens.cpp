#include <algorithm>
#include <array>
#include <cstdio>

#include "ldm/app/commands.h"
#include "ldm/app/events.h"
#include "ldm/app/inputs.h"
#include "ldm/app/option_values.h"
#include "ldm/app/resolve.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/loading/embedding_file.h"
#include "ldm/loading/model_files.h"
#include "ldm/text/prompt_chunks.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

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

/// A prompt as it reads from one step to another.
struct Wording {
  int first_step = 1;
  int last_step = 1;
  PromptTokens tokens;
};

/// One of the prompts that AND joins.
struct PartTokens {
  double weight = 1.0;
  std::vector<Wording> wordings;
};

std::vector<PartTokens> read_parts(const PromptReader& reader, const std::string& prompt,
                                   const Options& options, std::vector<LoraTag>& loras) {
  const LongPrompt policy = long_prompt_of(options);
  const auto steps = static_cast<int>(options.steps.value_or(30));
  if (!is_weighted(options)) return {{1.0, {{1, steps, reader.read_plain(prompt, policy)}}}};
  const auto parsed = WeightedPrompt::parse(prompt, PromptRole::kPrompt);
  loras = parsed.loras();
  std::vector<PartTokens> parts;
  for (const WeightedPrompt::Part& part : parsed.parts()) {
    PartTokens& out = parts.emplace_back();
    out.weight = part.weight;
    for (int step = 1; step <= steps; ++step) {
      PromptTokens tokens = reader.read(pieces_at(part.nodes, step, steps), prompt, policy);
      if (!out.wordings.empty() && out.wordings.back().tokens == tokens) {
        out.wordings.back().last_step = step;
      } else {
        out.wordings.push_back({step, step, std::move(tokens)});
      }
    }
  }
  return parts;
}

float weight_of(const PromptTokens& tokens, std::size_t i) {
  return tokens.weights.empty() ? 1.0F : tokens.weights[i];
}

/// A line of each token of a chunk; of the same ones at its end only the first.
void print_chunk(const PromptReader& reader, const PromptTokens& tokens, std::size_t begin,
                 Console& console) {
  const std::size_t size = reader.tokenizer().max_length();
  const auto id = [&](std::size_t i) { return tokens.ids[begin + i]; };
  std::size_t shown = size;
  while (shown > 1 && id(shown - 1) == id(shown - 2)) --shown;
  for (std::size_t i = 0; i < shown; ++i) {
    std::array<char, 48> columns{};
    std::snprintf(columns.data(), columns.size(), "%3zu %6lld  ", i, static_cast<long long>(id(i)));
    std::string line = columns.data() + escape_control(reader.spelling(id(i)));
    const float weight = weight_of(tokens, begin + i);
    if (weight != 1) {
      std::snprintf(columns.data(), columns.size(), "  × %.4g", static_cast<double>(weight));
      line += columns.data();
    }
    console.result(line);
  }
  if (size > shown) console.result(cat("    and the last one ", size - shown, " times more"));
}

void print_wording(const PromptReader& reader, const PromptTokens& tokens, Console& console) {
  const std::size_t size = reader.tokenizer().max_length();
  const std::size_t chunks = tokens.ids.size() / size;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    if (chunks > 1) console.result(cat("chunk ", chunk + 1, " of ", chunks));
    print_chunk(reader, tokens, chunk * size, console);
  }
  const std::size_t capacity = reader.tokenizer().capacity() * chunks;
  console.result(cat(tokens.token_count, " tokens of ", capacity));
  if (!tokens.cut_text.empty()) {
    console.result(cat("cut off: \"", escape_control(tokens.cut_text), "\""));
  }
}

void print_parts(const PromptReader& reader, const std::vector<PartTokens>& parts,
                 const std::vector<LoraTag>& loras, Console& console) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const PartTokens& part = parts[i];
    if (parts.size() > 1) {
      console.result(cat(i > 0 ? "AND " : "", "prompt ", i + 1, " of ", parts.size(), ", weight ",
                         number_text(part.weight)));
    }
    for (const Wording& wording : part.wordings) {
      if (part.wordings.size() > 1) {
        console.result(cat("steps ", wording.first_step, "…", wording.last_step, " of ",
                           part.wordings.back().last_step));
      }
      print_wording(reader, wording.tokens, console);
    }
  }
  for (const LoraTag& lora : loras) {
    console.result(cat("LoRA ", escape_control(lora.name), ", weight ", number_text(lora.weight)));
  }
}

Json chunk_json(const PromptReader& reader, const PromptTokens& tokens, std::size_t begin) {
  Json out = {{"ids", Json::array()}, {"pieces", Json::array()}, {"weights", Json::array()}};
  for (std::size_t i = begin; i < begin + reader.tokenizer().max_length(); ++i) {
    out["ids"].push_back(tokens.ids[i]);
    out["pieces"].push_back(reader.spelling(tokens.ids[i]));
    out["weights"].push_back(weight_of(tokens, i));
  }
  return out;
}

Json wording_json(const PromptReader& reader, const Wording& wording) {
  const PromptTokens& tokens = wording.tokens;
  Json out = {{"first_step", wording.first_step}, {"last_step", wording.last_step}};
  out["token_count"] = tokens.token_count;
  out["cut_text"] = tokens.cut_text;
  out["chunks"] = Json::array();
  for (std::size_t at = 0; at < tokens.ids.size(); at += reader.tokenizer().max_length()) {
    out["chunks"].push_back(chunk_json(reader, tokens, at));
  }
  return out;
}

/// `ids`, `pieces` and `weights` are of the first chunk of the first wording.
Json tokens_json(const PromptReader& reader, const std::string& prompt,
                 const std::vector<PartTokens>& parts, const std::vector<LoraTag>& loras) {
  const PromptTokens& first = parts.front().wordings.front().tokens;
  Json out = {{"schema", 1}};
  out["prompt"] = prompt;
  out.update(chunk_json(reader, first, 0));
  out["token_count"] = first.token_count;
  out["max_length"] = reader.tokenizer().max_length();
  out["cut_text"] = first.cut_text;
  out["prompts"] = Json::array();
  for (const PartTokens& part : parts) {
    Json& json = out["prompts"].emplace_back(Json{{"weight", part.weight}});
    json["wordings"] = Json::array();
    for (const Wording& wording : part.wordings) {
      json["wordings"].push_back(wording_json(reader, wording));
    }
  }
  out["loras"] = Json::array();
  for (const LoraTag& lora : loras) {
    out["loras"].push_back({{"name", lora.name}, {"weight", lora.weight}});
  }
  return out;
}

}  // namespace

void show_tokens(const Options& options, Console& console) {
  const std::string prompt = read_prompt(options.prompt.value_or(""));
  check_prompt(prompt, "prompt");
  const auto tokenizer = open_tokenizer(tokenizer_folder(resolve_model(options)));
  std::vector<LearnedWord> words;
  for (const EmbeddingChoice& choice : make_embedding_choices(options)) {
    const EmbeddingUse use = read_embedding(choice, tokenizer->capacity()).use;
    add_learned_word(words, use.word, use.vectors, tokenizer->vocab_size());
  }
  const PromptReader reader(tokenizer, words);
  std::vector<LoraTag> loras;
  const std::vector<PartTokens> parts = read_parts(reader, prompt, options, loras);
  if (!console.json) {
    print_parts(reader, parts, loras, console);
    return;
  }
  console.result(tokens_json(reader, prompt, parts, loras)
                     .dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace ldm::app
