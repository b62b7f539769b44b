#!/usr/bin/env python3
"""Makes tests/io/data: small PNG and JPEG files and what Pillow reads from them.

Needs Pillow, numpy and safetensors. Output is deterministic for a given Pillow. The expected pixels
are `exif_transpose(image).convert("RGB")`; 16-bit grey is the one stated difference (Pillow clips
it, ldm-gen takes the high byte).
"""
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/io/data"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_rows(samples, depth):
    rows = []
    for row in samples:
        flat = row.reshape(-1)
        if depth == 16:
            packed = flat.astype(">u2").tobytes()
        elif depth == 8:
            packed = flat.astype(np.uint8).tobytes()
        else:
            bits = ((flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            packed = np.packbits(bits.reshape(-1)).tobytes()
        rows.append(b"\0" + packed)
    return b"".join(rows)


def png(samples, depth, color_type, palette=None, transparency=None, interlaced=False, extra=b""):
    height, width = samples.shape[:2]
    raw = b""
    if interlaced:
        for x, y, dx, dy in ADAM7:
            part = samples[y::dy, x::dx]
            if part.size:
                raw += pack_rows(part, depth)
    else:
        raw = pack_rows(samples, depth)
    out = b"\x89PNG\r\n\x1a\n"
    out += chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0,
                                      int(interlaced)))
    out += extra
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    return out + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def exif(orientation, big_endian=False):
    order = ">" if big_endian else "<"
    return (b"MM\0*" if big_endian else b"II*\0") + struct.pack(
        order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def png_cases(rng):
    size = (9, 13)
    for color_type, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}.items():
        for depth in depths:
            shape = size + (CHANNELS[color_type],)
            samples = rng.integers(0, 1 << depth, shape)
            yield f"type{color_type}_{depth}.png", png(samples, depth, color_type)
            if depth in (1, 8):
                yield (f"type{color_type}_{depth}_interlaced.png",
                       png(samples, depth, color_type, interlaced=True))
    for depth in (1, 2, 4, 8):
        entries = min(1 << depth, 40)
        palette = rng.integers(0, 256, (entries, 3))
        samples = rng.integers(0, entries, size + (1,))
        yield f"palette_{depth}.png", png(samples, depth, 3, palette)
    yield "palette_alpha.png", png(samples, 8, 3, palette, bytes(range(0, 40)))
    yield "grey_key.png", png(rng.integers(0, 256, size + (1,)), 8, 0, None, b"\0\x07")
    rgb = rng.integers(0, 256, size + (3,))
    yield "rgb_key.png", png(rgb, 8, 2, None, bytes(6))
    yield "rgb_exif_6.png", png(rgb, 8, 2, extra=chunk(b"eXIf", exif(6, big_endian=True)))


def picture(height, width):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 128 + 120 * np.sin(x / 7.0)
    green = 255 * y / (height - 1)
    blue = 255 * ((x // 8 + y // 8) % 2)
    return np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8)


def jpeg(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def jpeg_cases():
    rgb = Image.fromarray(picture(21, 29))
    yield "grey.jpg", jpeg(rgb.convert("L"), quality=90)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"rgb_{name}.jpg", jpeg(rgb, quality=90, subsampling=subsampling)
    yield "progressive.jpg", jpeg(rgb, quality=90, subsampling=2, progressive=True)
    yield "restart.jpg", jpeg(rgb, quality=90, subsampling=0, restart_marker_blocks=2)
    yield "adobe_rgb.jpg", jpeg(rgb, quality=90, keep_rgb=True)
    cmyk = jpeg(rgb.convert("CMYK"), quality=90)
    yield "cmyk.jpg", cmyk
    adobe = cmyk.index(b"Adobe")
    yield "ycck.jpg", cmyk[:adobe + 11] + b"\x02" + cmyk[adobe + 12:]
    small = Image.fromarray(picture(9, 14))
    for orientation in range(1, 9):
        data = b"Exif\0\0" + exif(orientation, big_endian=orientation % 2 == 0)
        yield f"exif_{orientation}.jpg", jpeg(small, quality=90, subsampling=0, exif=data)


def text_png():
    info = PngImagePlugin.PngInfo()
    value = "café " + "x" * 50
    info.add_text("plain", value.encode("latin-1"))
    info.add_text("zip", value.encode("latin-1"), zip=True)
    info.add_itxt("utf8", value)
    info.add_itxt("utf8-zip", value, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def expected(name, data):
    image = Image.open(io.BytesIO(data))
    if name == "type0_16.png":
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).copy()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = list(png_cases(np.random.default_rng(0))) + list(jpeg_cases())
    pixels = {}
    for name, data in cases:
        (OUT / name).write_bytes(data)
        pixels[name] = expected(name, data)
    save_file(pixels, OUT / "expected.safetensors")
    (OUT / "text.png").write_bytes(text_png())
    total = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(cases)} pictures, {total} bytes in {OUT}")


if __name__ == "__main__":
    main()
