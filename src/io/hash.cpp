#include "ldm/io/hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/io/file.h"

namespace ldm {

struct Sha256::State {
  struct Free {
    void operator()(EVP_MD_CTX* owned) const { EVP_MD_CTX_free(owned); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (!state_->context || EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) != 1) {
    throw Error::internal("SHA-256 is not available in this OpenSSL");
  }
}

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) != 1) {
    throw Error::internal("SHA-256 update failed");
  }
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  if (EVP_DigestFinal_ex(state_->context.get(), digest.data(), &length) != 1) {
    throw Error::internal("SHA-256 could not be finished");
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * std::size_t{length});
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[digest.at(i) >> 4U];
    text += kDigits[digest.at(i) & 0xFU];
  }
  return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_hex(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string sha256_file(const std::filesystem::path& path, std::uint64_t from) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 20U;
  const InputFile file(path);
  file.advise_sequential();
  Sha256 hash;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(kPiece, file.size())));
  for (std::uint64_t offset = from; offset < file.size();) {
    const auto length = static_cast<std::size_t>(std::min(kPiece, file.size() - offset));
    const std::span<std::byte> piece(buffer.data(), length);
    file.read_at(offset, piece);
    hash.update(piece);
    offset += length;
  }
  file.check_unchanged();
  return hash.hex();
}

}  // namespace ldm
