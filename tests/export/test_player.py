"""The page that plays: what is in it, and that it asks for nothing from elsewhere."""

import base64
import json
import re
from pathlib import Path

import numpy as np

from posemamba.export import write_player
from tests.export.bodies import man, people, placed


def data(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def unpacked(packed: dict, width: int) -> np.ndarray:
    steps = np.frombuffer(base64.b64decode(packed["data"]), "<i2")
    return steps.reshape(-1, 17, width) * packed["scale"]


def test_the_page_holds_the_bodies_upright_and_their_keypoints(tmp_path):
    bodies = people()
    write_player(bodies, tmp_path / "player.html")
    found = data(tmp_path / "player.html")
    assert (found["fps"], found["size"], found["placed"], found["video"]) == (30, [640, 480], False, None)
    for body, person in zip(bodies, found["people"], strict=True):
        assert (person["track"], person["start"], person["frames"]) == (body.track, body.start, len(body))
        points = unpacked(person["points"], 3)
        np.testing.assert_allclose(points - points[:, :1], body.joints * (1, -1, -1), atol=0.2)
        np.testing.assert_allclose(points[..., 1].min(), 0, atol=0.2)
        np.testing.assert_allclose(unpacked(person["pixels"], 2), body.keypoints, atol=0.05)
        seen = np.frombuffer(base64.b64decode(person["seen"]), np.uint8).reshape(-1, 17)
        np.testing.assert_array_equal(seen, body.confidence > 0)
    he, she, again = found["people"]
    assert he["shades"] == again["shades"] != she["shades"]
    # She is left of him in the image, and so here. He raises his right hand: joint 16 is above the head.
    places = [unpacked(person["points"], 3)[0, 0, 0] for person in found["people"]]
    np.testing.assert_allclose(places, [750, -750, 750], atol=0.2)
    assert unpacked(he["points"], 3)[0, 16, 1] > unpacked(he["points"], 3)[0, 10, 1]
    assert set(found["left"]) == {4, 5, 6, 11, 12, 13}


def test_placed_bodies_stand_where_the_camera_saw_them(tmp_path):
    write_player(placed(), tmp_path / "player.html")
    found = data(tmp_path / "player.html")
    assert found["placed"]
    for body, person in zip(placed(), found["people"], strict=True):
        np.testing.assert_allclose(unpacked(person["points"], 3)[:, 0], body.root * (1, -1, -1), atol=0.2)


def test_the_video_is_linked_by_its_path_from_the_page(tmp_path):
    (tmp_path / "out").mkdir()
    write_player([man()], tmp_path / "out" / "player.html", tmp_path / "my <clip> #1.mp4")
    assert data(tmp_path / "out" / "player.html")["video"] == "../my%20%3Cclip%3E%20%231.mp4"
    assert "<title>Bodies of my &lt;clip&gt; #1.mp4</title>" in (tmp_path / "out" / "player.html").read_text()


def test_the_page_is_whole_and_fetches_nothing(tmp_path):
    write_player([man()], tmp_path / "player.html")
    page = (tmp_path / "player.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page and not re.search(r"https?:|//[a-z]+\.|import\(|fetch\(|\bsrc=", page)
    assert "$data" not in page and "$title" not in page
    # Every control that the script looks for is there, under a name that is read aloud.
    ids = set(re.findall(r'\bid="(\w+)"', page))
    assert set(re.findall(r'get\("(\w+)"\)', page)) <= ids
    for control in re.findall(r"<(?:canvas|input)[^>]*>", page):
        assert "aria-label=" in control or f"<label>Show a video of yours behind them: {control}" in page
