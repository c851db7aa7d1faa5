"""Places as models write them become regions in pixels of the picture."""

from __future__ import annotations

import time

import pytest

from mmcli.media.regions import SCALES, Mark, Shown, parse, place

WIDE = Shown("wide.png", (800, 400), (800, 400))
TALL = Shown("tall.png", (100, 1000), (100, 1000))
DOG, CAT = ((80.0, 80.0), (240.0, 160.0)), ((400.0, 200.0), (800.0, 400.0))


def found(text: str, scale: str = "0..1000") -> list[tuple[str, tuple[tuple[float, float], ...]]]:
    return [(region.label, region.points) for region in parse(text, scale, [WIDE])]


@pytest.mark.parametrize(
    "text",
    [
        "<ref>dog</ref><box>(100,200),(300,400)</box> and <ref> a cat </ref><box>(500,500),(1000,1000)</box>",
        "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>"
        "<|object_ref_start|>a cat<|object_ref_end|><|box_start|>(500,500),(1000,1000)<|box_end|><|im_end|>",
        '```json\n[\n\t{"bbox_2d": [100, 200, 300, 400], "label": "dog"},\n\t{"bbox_2d": [500, 500, 1000, 1000], '
        '"label": "a cat"}\n]\n```',
        '{"objects": [{"label": "dog", "bbox_2d": [[100, 200, 300, 400]]}, {"label": "a cat", "bbox_2d": [500, 500, '
        "1000.0, 1000]}]}",
        '[{"box_2d": [200, 100, 400, 300], "label": "dog"}, {"box_2d": [500, 500, 1000, 1000], "label": "a cat"}]',
        "<ref>dog</ref><box>[[100, 200, 300, 400]]</box>\n<ref>a cat</ref><box>[[500, 500, 1000, 1000]]</box>",
        "<|ref|>dog<|/ref|><|det|>[[100, 200, 300, 400]]<|/det|><|ref|>a cat<|/ref|><|det|>[[500, 500, 1000, 1000]]",
        "I see dog\n dog(100,200),(300,400), a cat(500,500),(1000,1000).",
        "dog[[100, 200, 300, 400]]\na cat[[500, 500, 1000, 1000]]",
    ],
)
def test_boxes_of_every_way_of_writing_are_the_same(text: str) -> None:
    assert found(text) == [("dog", DOG), ("a cat", CAT)]


def test_one_label_may_have_many_boxes() -> None:
    text = "<ref>dogs</ref><box>[[100, 200, 300, 400], [500, 500, 1000, 1000]]</box>"
    assert found(text) == [("dogs", DOG), ("dogs", CAT)]
    assert found("<ref>dogs</ref><box>(100,200),(300,400)</box><box>(500,500),(1000,1000)</box>") == found(text)


def test_four_corners_stay_an_outline() -> None:
    assert found("<ref>EXIT</ref><quad>(100,100),(200,110),(190,200),(95,190)</quad>") == [
        ("EXIT", ((80.0, 40.0), (160.0, 44.0), (152.0, 80.0), (76.0, 76.0)))
    ]


def test_paligemma_writes_rows_first_and_an_outline_that_is_kept_as_numbers() -> None:
    codes = "".join(f"<seg{code:03d}>" for code in range(16))
    text = f"<loc0256><loc0128><loc0512><loc0384>{codes} dog ; <loc0512><loc0512><loc1023><loc1023> a cat<eos>"
    dog, cat = parse(text, "0..1024", [WIDE])
    assert (dog.label, dog.points, dog.codes) == ("dog", ((100.0, 100.0), (300.0, 200.0)), tuple(range(16)))
    assert (cat.label, cat.codes) == ("a cat", ())
    assert cat.points == ((400.0, 200.0), (799.2, 399.6))


@pytest.mark.parametrize(
    "text, scale",
    [
        ('Two: <points x1="10.0" y1="20.5" x2="50" y2="75.0" alt="dogs">dogs</points>.', "0..100"),
        ('<point x="10.0" y="20.5" alt="dogs">dogs</point><point x="50" y="75" alt="dogs">dogs</point>', "0..100"),
        ('<points coords="1 1 100 205 2 500 750">dogs</points>', "0..1000"),
        ('[{"point_2d": [100, 205], "label": "dogs"}, {"point_2d": [500, 750], "label": "dogs"}]', "0..1000"),
        ('[{"point": [205, 100], "label": "dogs"}, {"point": [750, 500], "label": "dogs"}]', "0..1000"),
    ],
)
def test_points_of_every_way_of_writing_are_the_same(text: str, scale: str) -> None:
    assert found(text, scale) == [("dogs", ((80.0, 82.0),)), ("dogs", ((400.0, 300.0),))]


def test_molmo2_tells_in_which_picture_a_point_is() -> None:
    text = '<points coords="1 1 500 500;2 2 500 500 3 1000 000;7 4 1 1">boats</points>'
    regions = parse(text, "0..1000", [WIDE, TALL])
    assert [(region.source, region.points[0]) for region in regions] == [
        ("wide.png", (400.0, 200.0)),
        ("tall.png", (50.0, 500.0)),
        ("tall.png", (100.0, 0.0)),
    ]


@pytest.mark.parametrize("scale", SCALES)
def test_each_scale_reaches_from_edge_to_edge(scale: str) -> None:
    whole = SCALES[scale]
    right, bottom = (whole, whole) if whole else (1600, 300)
    shown = Shown("wide.png", (800, 400), (1600, 300))
    (region,) = parse(f"<ref>all</ref><box>(0,0),({right},{bottom})</box>", scale, [shown])
    assert region.points == ((0.0, 0.0), (800.0, 400.0))


def test_what_reaches_out_is_cut_and_what_lies_outside_is_left_out() -> None:
    assert found("<box>(-50,500),(1100,2000)</box>") == [("", ((0.0, 200.0), (800.0, 400.0)))]
    assert found("<box>(" + "9" * 400 + ",1000),(500,500)</box>") == [("", CAT)]
    assert found("<box>(1100,1100),(1200,1200)</box>") == []
    assert found("<box>(300,400),(100,200)</box>") == [("", DOG)], "corners the other way round"
    assert found('<point x="101" y="5">a</point>', "0..100") == []


def test_a_list_that_was_cut_off_gives_what_it_has() -> None:
    text = '[{"bbox_2d": [100, 200, 300, 400], "label": "dog"}, {"bbox_2d": [500, 500, 10'
    assert found(text) == [("dog", DOG)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "There is a dog (brown), 3 to 4 years old [1].",
        "<ref>dog</ref><box></box><box>(1,2)</box>",
        '{"bbox_2d": "100, 200"}{"bbox_2d": [1, 2, 3]}{"bbox_2d": [1, 2, NaN, 4]}{"bbox_2d": [1e400, 2, 3, 4]}',
        '{"bbox_2d": [1, 2, null, {}]}',
        '<point x="a" y="b">x</point><points coords="1 1">y</points>',
        "<loc0001><loc0002><loc0003> three",
    ],
)
def test_what_names_no_place_gives_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "piece",
    ["{", '{"a":', "<ref>", "<point x=", '<point x="', "[[", "[[1],", "(1,", "(1,2),", "<box>", "<loc0001>", "1 "],
)
def test_reading_takes_no_more_than_in_proportion_to_the_length(piece: str) -> None:
    spent = []
    for times in (2_000, 20_000):
        started = time.process_time()
        assert found(piece * times) == []
        spent.append(time.process_time() - started)
    assert spent[1] < 30 * spent[0] + 0.5, "ten times the text takes a hundred times as long"


def test_labels_are_one_line() -> None:
    assert place([Mark("a\n  dog ", ((0.5, 0.5),))], "0..1", [WIDE])[0].label == "a dog"
