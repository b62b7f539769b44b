#include "ldm/io/checksums.h"

#include <algorithm>
#include <array>
#include <optional>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"
#include "ldm/io/hash.h"
#include "ldm/io/open_tensors.h"
#include "ldm/io/safetensors.h"
#include "ldm/io/safetensors_writer.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kHashDigits = 64;

struct PublishedFile {
  std::string_view name;
  std::string_view sha256;
};

// Digests that several independent public lists agree on.
constexpr std::array<PublishedFile, 5> kPublished = {{
    {"sd-v1-4.ckpt", "fe4efff1e174c627256e44ec2991ba279b3816e364b49f9be2abc0b3ff3f8556"},
    {"v1-5-pruned-emaonly.ckpt",
     "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516"},
    {"v1-5-pruned-emaonly.safetensors",
     "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"},
    {"v2-1_768-ema-pruned.ckpt",
     "ad2a33c361c1f593c4a1fb32ea81afce2b5bb7d1983c6b94793a26a3b54b08a0"},
    {"v2-1_768-ema-pruned.safetensors",
     "dcd690123cfc64383981a31d955694f6acf2072a80537fdb612c8e58ec87a8ac"},
}};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

/// The digest that someone else gives for the whole file.
struct Vouched {
  std::string sha256;
  std::string source;
};

std::optional<Vouched> sidecar(const fs::path& file) {
  fs::path path = file;
  path += ".sha256";
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  constexpr std::uint64_t kMost = 4096;
  const std::string text = read_small_file(path, kMost);
  // As sha256sum writes it: the digest, then perhaps the name.
  std::string digest = lower(text.substr(0, text.find_first_of(" \t\r\n*")));
  if (!is_sha256_hex(digest)) {
    throw Error::model(cat(path.string(), ": expected a SHA-256 of 64 hex digits"),
                       "write it with sha256sum, or remove it");
  }
  return Vouched{std::move(digest), path.filename().string() + " beside it"};
}

std::optional<Vouched> cache_blob(const fs::path& file) {
  std::error_code error;
  if (!fs::is_symlink(file, error)) return std::nullopt;
  const fs::path target = fs::read_symlink(file, error);
  std::string name = target.filename().string();
  if (error || !is_sha256_hex(name) || target.parent_path().filename() != "blobs")
    return std::nullopt;
  return Vouched{std::move(name), "the Hugging Face cache's blob name"};
}

bool is_published(const std::string& digest) {
  return std::any_of(kPublished.begin(), kPublished.end(),
                     [&](const PublishedFile& row) { return row.sha256 == digest; });
}

Integrity compare(const Vouched& vouched, const std::string& found) {
  const bool same = vouched.sha256 == found;
  return {same ? IntegrityState::kVerified : IntegrityState::kMismatch,
          vouched.source,
          {},
          vouched.sha256,
          found};
}

std::string hash_tensor(const TensorSource& tensors, const TensorInfo& info) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 20U;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(kPiece, info.byte_size())));
  Sha256 hash;
  for (std::uint64_t at = 0; at < info.byte_size(); at += kPiece) {
    const std::span<std::byte> piece(
        buffer.data(), static_cast<std::size_t>(std::min(kPiece, info.byte_size() - at)));
    tensors.read_part(info.name, at, piece);
    hash.update(piece);
  }
  return hash.hex();
}

constexpr const char* kOwnMetadata = "its own metadata";

Integrity mismatch(std::string tensor, std::string expected, std::string found) {
  return {IntegrityState::kMismatch, kOwnMetadata, std::move(tensor), std::move(expected),
          std::move(found)};
}

/// The header's digest as it is, taken as the writer took it.
std::string hash_header(const SafetensorsFile& file, const std::string& own) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.header().data_offset));
  InputFile(file.path()).read_at(0, bytes);
  constexpr std::size_t kLengthBytes = 8;
  std::string text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                   bytes.size() - kLengthBytes);
  const std::string entry = cat('"', kHeaderHashKey, "\":\"");
  if (const std::size_t at = text.find(entry + own); at != std::string::npos) {
    text.replace(at + entry.size(), kHashDigits, kHashDigits, '0');
  }
  return sha256_hex(text);
}

}  // namespace

Integrity check_tensor_hashes(const TensorSource& tensors) {
  const auto& metadata = tensors.metadata();
  const bool any = std::any_of(metadata.begin(), metadata.end(), [](const auto& item) {
    return item.first == kHeaderHashKey || item.first.starts_with(kTensorHashPrefix);
  });
  if (!any) return {};
  for (const std::string& name : tensors.names()) {
    const auto expected = metadata.find(cat(kTensorHashPrefix, name));
    if (expected == metadata.end()) return mismatch(name, "a digest", "none");
    std::string found = hash_tensor(tensors, *tensors.find(name));
    if (found != expected->second) return mismatch(name, expected->second, std::move(found));
  }
  return {IntegrityState::kVerified, kOwnMetadata, {}, {}, {}};
}

Integrity check_own_hashes(const fs::path& path) {
  const auto source = open_tensors(path);
  Integrity tensors = check_tensor_hashes(*source);
  if (tensors.state != IntegrityState::kVerified) return tensors;
  const auto own = source->metadata().find(std::string(kHeaderHashKey));
  if (own == source->metadata().end() || !is_sha256_hex(own->second)) {
    return mismatch({}, "a digest", "none");
  }
  std::string found = hash_header(SafetensorsFile(path), own->second);
  if (found != own->second) return mismatch({}, own->second, std::move(found));
  return tensors;
}

Integrity check_whole_file(const fs::path& file, const std::string& sha256) {
  std::string digest = sha256;
  const auto whole = [&]() -> const std::string& {
    if (digest.empty()) digest = sha256_file(file);
    return digest;
  };
  if (const auto vouched = sidecar(file)) return compare(*vouched, whole());
  if (const auto vouched = cache_blob(file)) return compare(*vouched, whole());
  for (const PublishedFile& row : kPublished) {
    // A file of another content may well have that name: only its bearer can be vouched for.
    if (row.name != file.filename().string() || !is_published(whole())) continue;
    return {IntegrityState::kVerified, "the table of published files", {}, whole(), whole()};
  }
  return {};
}

Integrity check_integrity(const fs::path& file, const std::string& sha256) {
  const Integrity whole = check_whole_file(file, sha256);
  if (whole.state != IntegrityState::kUnverified) return whole;
  return check_own_hashes(file);
}

void throw_on_mismatch(const Integrity& integrity, const fs::path& file) {
  if (integrity.state != IntegrityState::kMismatch) return;
  const std::string what = integrity.tensor.empty()
                               ? "its contents do not"
                               : cat("tensor \"", integrity.tensor, "\" does not");
  throw Error::model_rule("E_SUM_MISMATCH",
                          cat(what, " match ", integrity.source, ": SHA-256 expected ",
                              integrity.expected, ", found ", integrity.found),
                          "the file is damaged or was changed: get it again")
      .with_context(file.string());
}

std::string describe(const Integrity& integrity) {
  switch (integrity.state) {
    case IntegrityState::kVerified:
      return "verified by " + integrity.source;
    case IntegrityState::kMismatch:
      return "does not match " + integrity.source;
    default:
      return "unverified: nothing vouches for it";
  }
}

}  // namespace ldm
