#include "ldm/text/clip_tokenizer.h"

#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/text/added_tokens.h"
#include "ldm/text/bpe.h"
#include "ldm/text/clip_files.h"
#include "ldm/text/clip_text.h"

namespace ldm {
struct CLIPTokenizer::Impl {
  explicit Impl(ClipFiles files)
      : bpe(std::move(files.vocabulary), files.merges, files.merges_source, files.unk),
        added(
            files.added, static_cast<std::int64_t>(bpe.size()), bpe.id_limit(),
            [this](const std::string& piece) { return bpe.find(piece); },
            [](const std::string& text) { return normalize_clip(text).text; }),
        frame{added.id(files.bos), added.id(files.eos), added.id(files.pad), files.max_length} {}

  void scan_text(std::string_view text, std::size_t offset,
                 std::vector<PlacedToken>& tokens) const {
    const NormalizedText clean = normalize_clip(text);
    std::vector<BytePairEncoder::Token> pieces;
    for (const auto& part : added.normalized().split(clean.text)) {
      if (part.id) {
        tokens.push_back({*part.id, offset + clean.source[part.begin]});
        continue;
      }
      const auto stretch = std::string_view(clean.text).substr(part.begin, part.end - part.begin);
      for (const TextRange& word : split_clip(stretch)) {
        pieces.clear();
        bpe.encode(stretch.substr(word.begin, word.end - word.begin), pieces);
        for (const auto& piece : pieces) {
          const std::size_t place = part.begin + word.begin + piece.begin;
          tokens.push_back({piece.id, offset + clean.source[place]});
        }
      }
    }
  }

  BytePairEncoder bpe;
  AddedVocabulary added;
  PromptFrame frame;
};

CLIPTokenizer::CLIPTokenizer(std::shared_ptr<const Impl> impl)
    : FramedTokenizer(impl->frame), impl_(std::move(impl)) {}

CLIPTokenizer CLIPTokenizer::from_folder(const std::filesystem::path& folder) {
  try {
    return CLIPTokenizer(std::make_shared<const Impl>(read_clip_files(folder)));
  } catch (Error& error) {
    error.with_context(cat("reading tokenizer ", folder.string()));
    throw;
  }
}

const AddedTokenSplitter& CLIPTokenizer::raw_tokens() const { return impl_->added.raw(); }

void CLIPTokenizer::scan_text(std::string_view text, std::size_t offset,
                              std::vector<PlacedToken>& tokens) const {
  impl_->scan_text(text, offset, tokens);
}

std::string_view CLIPTokenizer::piece(std::int64_t id) const {
  const std::string* added = impl_->added.content(id);
  return added == nullptr ? impl_->bpe.piece(id) : *added;
}

std::int64_t CLIPTokenizer::vocab_size() const { return impl_->added.limit(); }

}  // namespace ldm
