"""Draws the picture and puts the text on it."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 640, 480
LONGEST_TEXT = 60


def landscape() -> Image.Image:
    """Draw a sunset over water, line by line, so that the example needs no picture file."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    horizon = HEIGHT * 2 // 3
    for y in range(horizon):
        part = y / horizon
        draw.line([(0, y), (WIDTH, y)], fill=(int(70 + 180 * part), int(60 + 90 * part), int(140 - 60 * part)))
    draw.ellipse([WIDTH // 2 - 70, horizon - 90, WIDTH // 2 + 70, horizon + 50], fill=(255, 220, 120))
    for y in range(horizon, HEIGHT):
        part = (y - horizon) / (HEIGHT - horizon)
        draw.line([(0, y), (WIDTH, y)], fill=(int(60 - 40 * part), int(80 - 40 * part), int(120 - 40 * part)))
    return image


def meme(top: str, bottom: str) -> bytes:
    """Give the picture with a line of text above and one below, as a PNG."""
    image = landscape()
    draw = ImageDraw.Draw(image)
    for words, y, anchor in ((top, 20, "ma"), (bottom, HEIGHT - 20, "md")):
        text = words[:LONGEST_TEXT].upper()
        size = 56
        while size > 12 and draw.textlength(text, font=ImageFont.load_default(size)) > WIDTH - 40:
            size -= 4
        font = ImageFont.load_default(size)
        draw.text((WIDTH / 2, y), text, "white", font=font, anchor=anchor, stroke_width=3, stroke_fill="black")
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()
