"""The sample document: a report of two pages with headings, tables and running text, all of it real text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

if TYPE_CHECKING:
    from pathlib import Path

INK, GREY, BLUE, PALE = (HexColor(colour) for colour in ("#1b1f24", "#6b7480", "#1f4e79", "#eef3f8"))
TITLE = "Riverside Library"
MARGIN = 25 * mm
# What reportlab leaves free around the text inside the margins, in points.
PADDING = 6

BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10.5, leading=16, textColor=INK, spaceAfter=8)
LEAD = ParagraphStyle("lead", BODY, fontSize=12.5, leading=19, textColor=GREY, spaceAfter=14)
HEAD = ParagraphStyle(
    "head", BODY, fontName="Helvetica-Bold", fontSize=15, leading=20, textColor=BLUE, spaceBefore=14, spaceAfter=6
)
NAME = ParagraphStyle("name", BODY, fontName="Helvetica-Bold", fontSize=28, leading=34, textColor=BLUE, spaceAfter=2)
CELL = ParagraphStyle("cell", BODY, spaceAfter=0)
NUMBER = ParagraphStyle("number", CELL, alignment=TA_RIGHT)

VISITORS = (
    ("Month", "Visitors", "Books lent", "Events"),
    ("January", "4,120", "9,870", "6"),
    ("February", "3,980", "9,410", "8"),
    ("March", "5,360", "11,250", "12"),
    ("April", "4,740", "10,030", "9"),
    ("May", "5,910", "12,480", "15"),
    ("June", "4,450", "9,960", "7"),
)
MONEY = (
    ("Item", "Budget", "Spent"),
    ("Books", "48,000", "46,250"),
    ("Music", "6,500", "6,120"),
    ("Furniture", "12,000", "14,380"),
    ("Heating", "9,000", "8,740"),
    ("Training", "3,500", "2,900"),
)


def _table(rows: tuple[tuple[str, ...], ...], widths: list[float]) -> Table:
    cells = [
        [Paragraph(f"<b>{text}</b>" if row == rows[0] else text, CELL if column == 0 else NUMBER)
         for column, text in enumerate(row)]
        for row in rows
    ]  # fmt: skip
    look = [
        ("BACKGROUND", (0, 0), (-1, 0), PALE),
        ("LINEBELOW", (0, 0), (-1, 0), 1.2, BLUE),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, HexColor("#d5dae0")),
        ("TOPPADDING", (0, 0), (-1, -1), 4),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
    ]
    return Table(cells, widths, style=TableStyle(look), hAlign="LEFT", spaceBefore=4, spaceAfter=12)


def _story() -> list[Any]:
    visitors = sum(int(row[1].replace(",", "")) for row in VISITORS[1:])
    return [
        Paragraph(TITLE, NAME),
        Paragraph("Report on the first half of 2025", LEAD),
        Paragraph("Summary", HEAD),
        Paragraph(
            f"The library was open on 148 days. It had {visitors:,} visitors, 9 percent more than a year before. "
            "The reading room on the second floor was opened again in March, after a winter of building work.",
            BODY,
        ),
        Paragraph(
            "The director of the library is Helen Carter. Her team has eleven members, and forty volunteers "
            "help on weekends.",
            BODY,
        ),
        Paragraph("Visitors", HEAD),
        Paragraph("May was the busiest month. The book fair alone brought 1,900 people into the building.", BODY),
        _table(VISITORS, [47 * mm, 36 * mm, 36 * mm, 36 * mm]),
        Paragraph("Opening hours", HEAD),
        Paragraph(
            "From Monday to Friday the library is open from 9:00 to 19:00, on Saturday from 10:00 to 16:00. "
            "It is closed on Sunday.",
            BODY,
        ),
        PageBreak(),
        Paragraph("Money", HEAD),
        Paragraph(
            "All amounts are in pounds. The new chairs of the reading room cost more than planned; "
            "the other items stayed within their budget.",
            BODY,
        ),
        _table(MONEY, [55 * mm, 50 * mm, 50 * mm]),
        Paragraph("What comes next", HEAD),
        Paragraph(
            "In September the library starts a course for young writers. It takes place every Tuesday at 17:00 "
            "in the garden room and costs nothing. The number of places is limited to twenty.",
            BODY,
        ),
        Paragraph(
            "The roof above the music collection will be repaired in October. During that time the collection "
            "moves to the first floor.",
            BODY,
        ),
        Spacer(0, 6 * mm),
        Paragraph("Questions? Ask at the front desk or call 01273 555 020.", LEAD),
    ]


def _footer(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("Helvetica", 9)
    canvas.setFillColor(GREY)
    canvas.drawString(MARGIN + PADDING, 14 * mm, f"{TITLE}, report 2025")
    canvas.drawRightString(A4[0] - MARGIN - PADDING, 14 * mm, f"Page {document.page}")


def write_report(path: Path) -> None:
    # invariant: no date and no random identifier in the file
    document = SimpleDocTemplate(
        str(path),
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=24 * mm,
        bottomMargin=24 * mm,
        title=f"{TITLE}: report on the first half of 2025",
        author=TITLE,
        invariant=1,
    )
    document.build(_story(), onFirstPage=_footer, onLaterPages=_footer)
