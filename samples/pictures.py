"""The drawn samples: a receipt, a timetable, a street sign, a chart and a QR code."""

from __future__ import annotations

import zxingcpp
from drawing import GREY, INK, LINE, PAPER, SCALE, Canvas
from PIL import Image

ITEMS = (
    ("2", "Cappuccino", 6.80),
    ("1", "Orange juice", 3.40),
    ("1", "Cheese sandwich", 5.20),
    ("1", "Apple cake", 3.90),
)
CODE_TEXT = "Free concert in the park on Sunday at 5 pm"


def receipt() -> Image.Image:
    width, margin = 560, 48
    canvas = Canvas(width, 860, "#fdfcf8")
    middle, right = width / 2, width - margin
    canvas.spaced((middle, 88), "HARBOUR CAFE", 34, INK, 3)
    canvas.text((middle, 122), "12 Market Street, Brighton", 20, GREY, "m")
    canvas.text((middle, 150), "Phone 01273 555 014", 20, GREY, "m")
    canvas.dashes(margin, right, 182)
    for y, left, other in ((218, "Table 7", "14 June 2025"), (248, "Receipt 4127", "10:42")):
        canvas.text((margin, y), left, 21)
        canvas.text((right, y), other, 21, style="r")
    canvas.dashes(margin, right, 276)
    y = 322.0
    for count, name, amount in ITEMS:
        canvas.text((margin, y), f"{count} x", 23, GREY)
        canvas.text((margin + 56, y), name, 23)
        canvas.text((right, y), f"{amount:.2f}", 23, style="r")
        y += 42
    canvas.dashes(margin, right, y - 8)
    subtotal = sum(amount for _, _, amount in ITEMS)
    for name, amount in (("Subtotal", subtotal), ("Tax 10 %", subtotal / 10)):
        y += 36
        canvas.text((margin, y), name, 23)
        canvas.text((right, y), f"{amount:.2f}", 23, style="r")
    canvas.rule(margin, right, y + 26, INK, 2.5)
    canvas.text((margin, y + 74), "TOTAL", 36, style="lb")
    canvas.text((right, y + 74), f"{1.1 * subtotal:.2f} GBP", 36, style="rb")
    canvas.rule(margin, right, y + 98, INK, 2.5)
    canvas.text((margin, y + 142), "Paid by card", 21, GREY)
    canvas.text((right, y + 142), "**** 4821", 21, GREY, "r")
    canvas.text((middle, y + 206), "Thank you for your visit!", 23, style="m")
    return canvas.finish()


def timetable() -> Image.Image:
    width, margin = 1200, 56
    canvas = Canvas(width, 700, "#0d2238")
    canvas.text((margin, 92), "Departures", 52, PAPER, "lb")
    canvas.text((width - margin, 90), "Central Station  08:05", 28, "#9fb6cc", "r")
    columns = (margin + 16, margin + 190, margin + 560, margin + 780)
    canvas.box((margin, 124, width - margin, 176), "#173a5c", 8)
    for x, name in zip(columns, ("Time", "Destination", "Platform", "Remark"), strict=True):
        canvas.text((x, 160), name, 25, "#9fb6cc")
    trains = (
        ("08:15", "London", "4", "On time"),
        ("08:40", "Boston", "7", "5 minutes late"),
        ("09:05", "Oxford", "2", "On time"),
        ("09:20", "Paris", "11", "Seat reservation"),
        ("09:45", "Chicago", "3", "Cancelled"),
        ("10:10", "Cambridge", "6", "On time"),
    )
    for index, train in enumerate(trains):
        y = 238 + index * 72
        for x, value in zip(columns, train, strict=True):
            remark = {"Cancelled": "#ff8f80", "5 minutes late": "#ffcf70"}.get(value, "#9fe0b0")
            canvas.text((x, y), value, 34, remark if x == columns[3] else PAPER)
        if index < len(trains) - 1:
            canvas.rule(margin, width - margin, y + 26, "#24486b")
    canvas.text((margin, 664), "Doors close one minute before departure.", 23, "#9fb6cc")
    return canvas.finish(128)


def street_sign() -> Image.Image:
    canvas = Canvas(1000, 620, "#dfeaf2")
    canvas.box((0, 470, 1000, 620), "#b9c7b0")
    canvas.box((484, 60, 516, 620), "#7a838c")
    canvas.box((484, 60, 494, 620), "#929ba4")
    canvas.box((150, 90, 850, 270), "#0b6b3a", 18)
    canvas.frame((162, 102, 838, 258), PAPER, 4, 12)
    canvas.text((500, 196), "GARDEN ROAD", 68, PAPER, "mb")
    canvas.text((500, 238), "100 - 198", 28, PAPER, "m")
    canvas.box((250, 310, 750, 420), PAPER, 12)
    canvas.frame((258, 318, 742, 412), "#b3261e", 4, 8)
    canvas.text((500, 362), "Hospital 300 m", 38, "#b3261e", "mb")
    canvas.text((500, 398), "No parking", 26, "#b3261e", "m")
    return canvas.finish(128)


def chart() -> Image.Image:
    canvas = Canvas(1100, 740)
    left, right, bottom, top = 150, 1040, 610, 170
    canvas.text((60, 74), "People in the city library", 42, style="lb")
    canvas.text((60, 114), "First half of 2025, in thousands", 25, GREY)
    months = (("January", 12), ("February", 15), ("March", 28), ("April", 21), ("May", 34), ("June", 19))
    scale = (bottom - top) / 40
    for value in range(0, 41, 10):
        y = bottom - value * scale
        canvas.rule(left, right, y, INK if value == 0 else LINE, 2 if value == 0 else 1)
        canvas.text((left - 18, y + 8), str(value), 23, GREY, "r")
    step = (right - left) / len(months)
    for index, (month, value) in enumerate(months):
        x = left + (index + 0.5) * step
        y = bottom - value * scale
        canvas.box((x - 46, y, x + 46, bottom), "#d9480f" if value == 34 else "#2f6fab")
        canvas.box((x - 24, y - 40, x + 24, y - 6), PAPER)
        canvas.text((x, y - 14), str(value), 29, style="mb")
        canvas.text((x, bottom + 40), month, 25, style="m")
    canvas.text((60, 704), "Source: annual report of the library", 21, GREY)
    return canvas.finish()


def qr() -> Image.Image:
    canvas = Canvas(640, 760)
    code = zxingcpp.create_barcode(CODE_TEXT, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    modules = Image.fromarray(code.to_image(scale=1, add_quiet_zones=False))
    side = 480 // modules.width * modules.width * SCALE
    canvas.box((40, 40, 600, 720), "#f4f6f8", 28)
    canvas.box((60, 60, 580, 580), PAPER, 16)
    left = (canvas.width - side / SCALE) / 2
    canvas.paste(modules.convert("RGB").resize((side, side), Image.Resampling.NEAREST), left, left)
    canvas.text((320, 644), "Scan me", 44, style="mb")
    canvas.text((320, 684), "City park events", 24, GREY, "m")
    return canvas.finish(16)


PICTURES = {
    "receipt.png": receipt,
    "timetable.png": timetable,
    "street-sign.png": street_sign,
    "chart.png": chart,
    "qr.png": qr,
}
