#include "ldm/io/png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/png_chunks.h"

namespace ldm {
namespace {

constexpr int kCompressionLevel = 6;

// What libpng's C callbacks share with the caller. Nothing may be thrown through libpng.
struct Sink {
  std::vector<std::byte> bytes;
  std::string fault;
};

void on_write(png_structp png, png_bytep data, std::size_t length) {
  auto* sink = static_cast<Sink*>(png_get_io_ptr(png));
  bool stored = true;
  try {
    const auto* start = reinterpret_cast<const std::byte*>(data);
    sink->bytes.insert(sink->bytes.end(), start, start + length);
  } catch (const std::exception&) {
    stored = false;
  }
  if (!stored) png_error(png, "out of memory");
}

void on_flush(png_structp /*png*/) {}

void on_error(png_structp png, png_const_charp message) {
  auto* sink = static_cast<Sink*>(png_get_error_ptr(png));
  try {
    sink->fault = message;
  } catch (const std::exception&) {
    sink->fault.clear();
  }
  png_longjmp(png, 1);
}

void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

// Owns the pair of libpng structs.
struct Writer {
  explicit Writer(Sink& sink)
      : png(png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_error, on_warning)),
        info(png != nullptr ? png_create_info_struct(png) : nullptr) {
    if (info == nullptr) throw Error::memory("no memory to encode a PNG");
    png_set_write_fn(png, &sink, on_write, on_flush);
  }
  ~Writer() { png_destroy_write_struct(&png, &info); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  png_structp png;
  png_infop info;
};

// Holds no object with a destructor, because errors leave it by longjmp.
bool write_png(const Writer& writer, const Image& image, png_textp text, int entries) {
  if (setjmp(png_jmpbuf(writer.png)) != 0) return false;
  png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(writer.png, kCompressionLevel);
  if (entries > 0) png_set_text(writer.png, writer.info, text, entries);
  png_write_info(writer.png, writer.info);
  const std::size_t stride = std::size_t{3} * static_cast<std::size_t>(image.width);
  for (int y = 0; y < image.height; ++y) {
    png_write_row(writer.png, image.rgb.data() + stride * static_cast<std::size_t>(y));
  }
  png_write_end(writer.png, nullptr);
  return true;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void check_text(const PngText& entry) {
  const bool printable =
      std::all_of(entry.key.begin(), entry.key.end(), [](char c) { return c >= ' ' && c <= '~'; });
  const bool spaced = entry.key.starts_with(' ') || entry.key.ends_with(' ') ||
                      entry.key.find("  ") != std::string::npos;
  if (entry.key.empty() || entry.key.size() > 79 || !printable || spaced) {
    throw Error::input("\"" + entry.key + "\" cannot be the key of PNG text");
  }
  if (entry.value.find('\0') != std::string::npos ||
      find_invalid_utf8(entry.value) != std::string_view::npos) {
    throw Error::input("PNG text \"" + entry.key + "\" has NUL or invalid UTF-8");
  }
}

std::vector<png_text> libpng_text(std::vector<PngText>& entries) {
  std::vector<png_text> list;
  for (PngText& entry : entries) {
    check_text(entry);
    png_text item{};
    const bool ascii = is_ascii(entry.value);
    item.compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    item.key = entry.key.data();
    item.text = entry.value.data();
    (ascii ? item.text_length : item.itxt_length) = entry.value.size();
    list.push_back(item);
  }
  return list;
}

std::string latin1_to_utf8(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0U | (byte >> 6U));
      out += static_cast<char>(0x80U | (byte & 0x3FU));
    }
  }
  return out;
}

std::span<const std::byte> as_bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Splits off what stands before the next NUL.
std::string_view take_field(std::string_view& rest, const std::string& name) {
  const std::size_t end = rest.find('\0');
  if (end == std::string_view::npos) throw Error::input(name + ": broken PNG: text without a key");
  const std::string_view field = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return field;
}

PngText read_text_chunk(const PngChunk& chunk, const std::string& name) {
  std::string_view rest(reinterpret_cast<const char*>(chunk.data.data()), chunk.data.size());
  PngText entry;
  entry.key = latin1_to_utf8(take_field(rest, name));
  if (chunk.type == "tEXt") {
    entry.value = latin1_to_utf8(rest);
    return entry;
  }
  const std::size_t flags = chunk.type == "zTXt" ? 1 : 2;
  if (rest.size() < flags) throw Error::input(name + ": broken PNG: short text");
  const bool compressed = flags == 1 || rest[0] != 0;
  rest.remove_prefix(flags);
  if (flags == 2) {
    take_field(rest, name);
    take_field(rest, name);
  }
  entry.value = compressed ? inflate_text(as_bytes_of(rest), name) : std::string(rest);
  if (flags == 1) entry.value = latin1_to_utf8(entry.value);
  if (find_invalid_utf8(entry.value) != std::string_view::npos) {
    throw Error::input(name + ": broken PNG: text is not UTF-8");
  }
  return entry;
}

}  // namespace

std::vector<std::byte> encode_png(const Image& image, std::span<const PngText> text) {
  const bool sized = image.width > 0 && image.height > 0;
  if (!sized || image.rgb.size() != std::size_t{3} * static_cast<std::size_t>(image.width) *
                                        static_cast<std::size_t>(image.height)) {
    throw Error::internal(
        cat("image of ", image.width, "x", image.height, " has ", image.rgb.size(), " bytes"));
  }
  std::vector<PngText> entries(text.begin(), text.end());
  std::vector<png_text> list = libpng_text(entries);
  Sink sink;
  const Writer writer(sink);
  if (!write_png(writer, image, list.data(), static_cast<int>(list.size()))) {
    throw Error::internal("encoding a PNG failed: " + sink.fault);
  }
  return std::move(sink.bytes);
}

std::vector<PngText> read_png_text(std::span<const std::byte> png, const std::string& name) {
  std::vector<PngText> entries;
  for (const PngChunk& chunk : scan_png(png, name).chunks) {
    if (chunk.type == "tEXt" || chunk.type == "zTXt" || chunk.type == "iTXt") {
      entries.push_back(read_text_chunk(chunk, name));
    }
  }
  return entries;
}

void verify_png(std::span<const std::byte> png, const std::string& name) {
  try {
    const PngLayout layout = scan_png(png, name);
    check_pixel_data(layout, name);
    if (layout.file_end != png.size()) {
      throw Error::output(cat(name, ": ", png.size() - layout.file_end, " bytes after the end"));
    }
  } catch (Error& error) {
    error.with_code(ErrorCode::kOutput);
    throw;
  }
}

}  // namespace ldm
