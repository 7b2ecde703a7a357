"""Writes the pictures of tests/pictures.rs with Pillow: the left half red, the right
half blue, the top right quarter white, in the odd ways that real files come in."""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
pixels = np.zeros((16, 24, 3), np.uint8)
pixels[:, :12] = [255, 0, 0]
pixels[:, 12:] = [0, 0, 255]
pixels[:8, 12:] = 255
picture = Image.fromarray(pixels)

picture.save(HERE / "baseline.jpg", quality=95, subsampling=0)
picture.save(HERE / "progressive.jpg", quality=95, subsampling=0, progressive=True)
picture.convert("CMYK").save(HERE / "cmyk.jpg", quality=95)
picture.convert("L").save(HERE / "gray.jpg", quality=95)
picture.quantize(4).save(HERE / "palette.png")
picture.save(HERE / "picture.gif")
picture.save(HERE / "png_inside.jpg", format="png")
Image.fromarray((np.arange(6, dtype=np.uint16) * 13107).reshape(2, 3)).save(HERE / "gray16.png")
alpha = np.dstack([pixels, np.full((16, 24), 255, np.uint8)])
Image.fromarray(alpha).save(HERE / "alpha.png")
# Stored as turned by each of the eight ways, so that upright is the picture above.
stored = {
    1: picture,
    2: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: picture.transpose(Image.Transpose.ROTATE_180),
    4: picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: picture.transpose(Image.Transpose.TRANSPOSE),
    6: picture.transpose(Image.Transpose.ROTATE_90),
    7: picture.transpose(Image.Transpose.TRANSVERSE),
    8: picture.transpose(Image.Transpose.ROTATE_270),
}
for orientation, turned in stored.items():
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(HERE / f"exif{orientation}.jpg", quality=95, subsampling=0, exif=exif)

# Adobe's fourth way: luma and chroma of the inverted colours, and black. Pillow writes the planes as CMYK,
# inverted; the marker that says what they are is changed.
luma, chroma_blue, chroma_red = Image.fromarray(255 - pixels).convert("YCbCr").split()
planes = [Image.fromarray(255 - np.asarray(plane)) for plane in (luma, chroma_blue, chroma_red)]
black = Image.new("L", picture.size, 0)
Image.merge("CMYK", [*planes, black]).save(HERE / "ycck.jpg", quality=95)
content = bytearray((HERE / "ycck.jpg").read_bytes())
marker = content.index(b"Adobe")
assert content[marker + 11] == 0
content[marker + 11] = 2
(HERE / "ycck.jpg").write_bytes(content)

# Of an animation the first picture counts, whatever comes after it.
later = [Image.new("RGB", picture.size, colour) for colour in ("black", "lime")]
picture.save(HERE / "animated.gif", save_all=True, append_images=later, duration=100, loop=0)
