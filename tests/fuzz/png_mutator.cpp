// Mutates a PNG chunk by chunk: the payload of one, within the compressed stream if it has one, or
// the order of two. Lengths and CRCs are made right again, except now and then.
#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

constexpr std::size_t kSignature = 8;
constexpr std::size_t kOverhead = 12;
constexpr std::size_t kMostRaw = 4096;

struct Chunk {
  std::string type;
  std::vector<std::uint8_t> data;
};

std::vector<Chunk> split(const std::uint8_t* png, std::size_t size) {
  std::vector<Chunk> chunks;
  for (std::size_t at = kSignature; at + kOverhead <= size;) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = (length << 8U) | png[at + i];
    if (length > size - at - kOverhead) break;
    const std::uint8_t* data = png + at + 8;
    chunks.push_back({std::string(reinterpret_cast<const char*>(png + at + 4), 4),
                      std::vector<std::uint8_t>(data, data + length)});
    at += kOverhead + length;
  }
  return chunks;
}

void append_number(std::vector<std::uint8_t>& out, unsigned long value) {
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> (shift - 8)));
  }
}

std::vector<std::uint8_t> join(const std::uint8_t* signature, const std::vector<Chunk>& chunks) {
  std::vector<std::uint8_t> out(signature, signature + kSignature);
  for (const Chunk& chunk : chunks) {
    append_number(out, chunk.data.size());
    const std::size_t type = out.size();
    out.insert(out.end(), chunk.type.begin(), chunk.type.end());
    out.insert(out.end(), chunk.data.begin(), chunk.data.end());
    append_number(out, crc32(0, out.data() + type, static_cast<unsigned>(out.size() - type)));
  }
  return out;
}

void mutate_bytes(std::vector<std::uint8_t>& data, std::size_t most) {
  const std::size_t before = data.size();
  data.resize(most);
  data.resize(LLVMFuzzerMutate(data.data(), before < most ? before : most, most));
}

/// Where the zlib stream of a chunk begins; its size when it has none.
std::size_t stream_begin(const Chunk& chunk) {
  if (chunk.type == "IDAT") return 0;
  if (chunk.type != "zTXt" || chunk.data.empty()) return chunk.data.size();
  const void* nul = std::memchr(chunk.data.data(), 0, chunk.data.size());
  if (nul == nullptr) return chunk.data.size();
  return static_cast<std::size_t>(static_cast<const std::uint8_t*>(nul) - chunk.data.data()) + 2;
}

/// Mutates what a chunk's stream holds; false when that cannot be read.
bool mutate_inside(Chunk& chunk, std::size_t most) {
  const std::size_t begin = stream_begin(chunk);
  if (begin >= chunk.data.size()) return false;
  std::vector<std::uint8_t> raw(kMostRaw);
  uLongf length = raw.size();
  if (uncompress(raw.data(), &length, chunk.data.data() + begin, chunk.data.size() - begin) !=
      Z_OK) {
    return false;
  }
  raw.resize(length);
  mutate_bytes(raw, kMostRaw);
  std::vector<std::uint8_t> packed(compressBound(raw.size()));
  length = packed.size();
  if (compress2(packed.data(), &length, raw.data(), raw.size(), 1) != Z_OK) return false;
  if (begin + length > most) return false;
  chunk.data.resize(begin);
  chunk.data.insert(chunk.data.end(), packed.data(), packed.data() + length);
  return true;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  std::minstd_rand random(seed);
  std::vector<Chunk> chunks;
  if (size > kSignature && data[0] == 0x89) chunks = split(data, size);
  constexpr unsigned kPlainOneIn = 16;
  if (chunks.empty() || random() % kPlainOneIn == 0) return LLVMFuzzerMutate(data, size, most);
  Chunk& chunk = chunks[random() % chunks.size()];
  switch (random() % 8) {
    case 0:
      std::swap(chunk, chunks[random() % chunks.size()]);
      break;
    case 1:
      chunks.push_back(chunk);
      std::swap(chunks.back(), chunks[random() % chunks.size()]);
      break;
    case 2:
    case 3:
    case 4:
      if (mutate_inside(chunk, most)) break;
      [[fallthrough]];
    default:
      mutate_bytes(chunk.data, chunk.data.size() + 16);
  }
  const std::vector<std::uint8_t> out = join(data, chunks);
  if (out.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}
