"""Names, patterns and folders of attachments."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmcli.errors import InputError
from mmcli.media.names import expand


@pytest.fixture
def scans(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scans"
    (folder / "inner").mkdir(parents=True)
    for name in ("page10.png", "page2.png", "Page1.PNG", "inner/page3.png", ".hidden.png"):
        shutil.copy(data / "i11.png", folder / name)
    shutil.copy(data / "i11.png", folder / "without suffix")
    shutil.copy(data / "a01.wav", folder / "talk.wav")
    (folder / "program").write_bytes(bytes(range(256)) * 40)
    (folder / "broken.jpg").touch()
    (folder / "a[1].png").touch()
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_pattern_is_what_matches_it_sorted_as_a_person_would(scans: Path) -> None:
    assert expand(["scans/*.png"]) == ["scans/a[1].png", "scans/page2.png", "scans/page10.png"]
    assert expand(["scans/**/*3.png", "-"]) == ["scans/inner/page3.png", "-"]
    assert expand([f"{scans}/page?.png"]) == [f"{scans}/page2.png"]


def test_a_name_with_brackets_is_a_file_where_there_is_one(scans: Path) -> None:
    assert expand(["scans/a[1].png"]) == ["scans/a[1].png"]


def test_a_folder_is_its_files_that_can_be_attached_and_those_that_should(scans: Path) -> None:
    names = ["a[1].png", "broken.jpg", "Page1.PNG", "page2.png", "page10.png", "talk.wav", "without suffix"]
    assert expand(["scans"]) == [f"scans/{name}" for name in names]


def test_home_is_found_within_quotes_too(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(scans))
    assert expand(["~/page?.png"]) == [f"{scans}/page2.png"]
    assert expand(["~/page2.png"]) == [f"{scans}/page2.png"]


def test_what_matches_nothing_is_told(scans: Path) -> None:
    with pytest.raises(InputError, match=r"scans/\*\.gif: no file matches this pattern"):
        expand(["scans/*.gif"])
    (scans / "none").mkdir()
    with pytest.raises(InputError, match="the folder holds no picture"):
        expand(["scans/none"])


def test_addresses_and_names_of_nothing_are_left_to_be_opened(scans: Path) -> None:
    assert expand(["https://example.org/*.png?x=[1]", "nothing.png"]) == [
        "https://example.org/*.png?x=[1]",
        "nothing.png",
    ]
