#include "ldm/text/prompt_chunks.h"

#include "ldm/core/text.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

PromptReader reader_of(const std::vector<LearnedWord>& words = {}) {
  return PromptReader(open_tokenizer(LDM_SOURCE_DIR "/weights/default/tokenizer"), words);
}

PromptTokens read(const PromptReader& reader, const std::string& prompt, LongPrompt policy) {
  const auto parsed = WeightedPrompt::parse(prompt, PromptRole::kPrompt);
  return reader.read(pieces_at(parsed.parts()[0].nodes, 1, 1), prompt, policy);
}

std::string apples(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "apple ";
  return text;
}

}  // namespace

TEST_CASE("plain text in one chunk is the tokenizer's own encoding") {
  const PromptReader reader = reader_of();
  for (const std::string& prompt :
       {std::string("a (red:1.3) [apple]"), apples(90), std::string()}) {
    const Encoding encoding = reader.tokenizer().encode(prompt);
    const PromptTokens tokens = reader.read_plain(prompt, LongPrompt::kTruncate);
    CHECK(tokens.ids == encoding.ids);
    CHECK(tokens.token_count == encoding.token_count);
    CHECK(tokens.cut_text == encoding.cut_text);
    CHECK(tokens.weights.empty());
  }
}

TEST_CASE("long prompts fill chunks, cut within BREAKs, and say what is cut") {
  const PromptReader reader = reader_of();
  CHECK(reader.read_plain(apples(75), LongPrompt::kChunk).ids.size() == 77);
  CHECK(reader.read_plain(apples(76), LongPrompt::kChunk).ids.size() == 2 * 77);
  const PromptTokens whole = read(reader, apples(80) + "BREAK red", LongPrompt::kChunk);
  CHECK(whole.ids.size() == 3 * 77);
  CHECK(whole.token_count == 81);
  CHECK(whole.cut_text.empty());
  const PromptTokens cut = read(reader, apples(76) + "BREAK red", LongPrompt::kTruncate);
  CHECK(cut.ids.size() == 2 * 77);
  CHECK(cut.cut_text == "apple");
  const PromptTokens twice =
      read(reader, apples(76) + "BREAK (" + apples(75) + "end)", LongPrompt::kTruncate);
  CHECK(twice.cut_text == "apple … end");
  // A comma at most 20 tokens back ends the chunk.
  const PromptTokens comma = reader.read_plain(apples(60) + ", " + apples(20), LongPrompt::kChunk);
  CHECK(comma.ids[61] == reader.tokenizer().tokenize(",")[0]);
  CHECK(comma.ids[62] == reader.tokenizer().eos_id());
  CHECK(comma.ids[77 + 20] != reader.tokenizer().eos_id());
}

TEST_CASE("learned words are whole words in any case, of several ids, and never split") {
  const std::int64_t first = 50000;
  const PromptReader reader = reader_of({{"<cat-toy>", first, 1}, {"MyStyle", first + 1, 3}});
  const auto ids = [&](const std::string& prompt) {
    const PromptTokens tokens = reader.read_plain(prompt, LongPrompt::kTruncate);
    return std::vector<std::int64_t>(
        tokens.ids.begin() + 1, tokens.ids.begin() + 1 + static_cast<long>(tokens.token_count));
  };
  const std::int64_t a = reader.tokenizer().tokenize("a")[0];
  CHECK(ids("a <cat-toy>, a").at(1) == first);
  CHECK(ids("a <cat-toy>, a").size() == 4);
  CHECK(ids("a mystyle a") == std::vector<std::int64_t>{a, first + 1, first + 2, first + 3, a});
  CHECK(ids("mystyles").front() < first);
  CHECK(ids("amystyle").front() < first);
  CHECK(reader.spelling(first) == "<cat-toy>");
  CHECK(reader.spelling(first + 2) == "MyStyle[2/3]");
  const PromptTokens tokens = reader.read_plain(apples(73) + "mystyle", LongPrompt::kChunk);
  REQUIRE(tokens.ids.size() == 2 * 77);
  CHECK(tokens.ids[74] == reader.tokenizer().eos_id());
  CHECK(tokens.ids[78] == first + 1);
  const PromptTokens weighted = read(reader, "a (mystyle:1.5)", LongPrompt::kTruncate);
  CHECK(weighted.weights[2] == 1.5F);
  CHECK(weighted.weights[4] == 1.5F);
  CHECK(weighted.weights[5] == 1.0F);
}

}  // namespace ldm
