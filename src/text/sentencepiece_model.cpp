#include "ldm/text/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <new>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {

struct SentencePieceModel::Impl {
  std::string file;
  sentencepiece::SentencePieceProcessor processor;

  void check(const sentencepiece::util::Status& status) const {
    if (status.ok()) return;
    throw Error::model(cat(file, ": sentencepiece: ", status.ToString()),
                       "download the SentencePiece model file again from the model's source");
  }
};

SentencePieceModel::SentencePieceModel(const SentencePieceProto& proto, const std::string& file)
    : impl_(std::make_unique<Impl>()) {
  impl_->file = file;
  try {
    impl_->check(impl_->processor.LoadFromSerializedProto(serialize_sentencepiece(proto)));
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error::model(cat(file, ": sentencepiece: ", error.what()),
                       "download the SentencePiece model file again from the model's source");
  }
}

SentencePieceModel::~SentencePieceModel() = default;
SentencePieceModel::SentencePieceModel(SentencePieceModel&&) noexcept = default;
SentencePieceModel& SentencePieceModel::operator=(SentencePieceModel&&) noexcept = default;

std::vector<SentencePieceModel::Token> SentencePieceModel::encode(std::string_view text) const {
  sentencepiece::ImmutableSentencePieceText pieces;
  impl_->check(impl_->processor.Encode(text, pieces.mutable_proto()));
  std::vector<Token> tokens;
  tokens.reserve(pieces.pieces_size());
  for (const auto& piece : pieces.pieces()) {
    tokens.push_back({static_cast<std::int64_t>(piece.id()), piece.begin()});
  }
  return tokens;
}

std::optional<std::int64_t> SentencePieceModel::find(const std::string& piece) const {
  const int id = impl_->processor.PieceToId(piece);
  if (this->piece(id) != piece) return std::nullopt;
  return id;
}

std::string_view SentencePieceModel::piece(std::int64_t id) const {
  if (id < 0 || id >= size()) return {};
  return impl_->processor.IdToPiece(static_cast<int>(id));
}

std::int64_t SentencePieceModel::size() const { return impl_->processor.GetPieceSize(); }

}  // namespace ldm
