"""The overlay video, decoded again: colours where the joints are, in every frame, upright."""

import numpy as np
import pytest

from posemamba.export import write_overlay
from posemamba.export.scene import SHADES
from tests.export.bodies import man, people, person

av = pytest.importorskip("av")


def frames(path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def film(path, width=320, height=240, count=40, fps=30, colour=(0, 90, 0)):
    """A film in one colour with a white upper left corner."""
    image = np.full((height, width, 3), colour, np.uint8)
    image[: height // 4, : width // 4] = 255
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(count):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    return path


def near(image: np.ndarray, point, colour: str) -> bool:
    """Whether a pixel about a point has a colour, give or take what H.264 does to it."""
    x, y = np.round(point).astype(int)
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    part = image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].astype(int)
    return bool((np.abs(part - wanted).sum(-1) < 110).any())


def test_without_a_video_the_bodies_are_drawn_on_empty_frames(tmp_path):
    write_overlay(people(), tmp_path / "overlay.mp4")
    drawn = frames(tmp_path / "overlay.mp4")
    assert drawn.shape == (85, 480, 640, 3)
    (strong, light), (hers, _) = SHADES[1], SHADES[0]  # tracks in their order: 2, 7
    for frame in (0, 25, 59):
        points = man().keypoints[frame]
        assert near(drawn[frame], points[16], strong) and near(drawn[frame], points[13], light)
        assert near(drawn[frame], points[3], strong) and near(drawn[frame], points[6], light)
    she = people()[1]
    assert near(drawn[22], she.keypoints[2][16], hers) and not near(drawn[19], she.keypoints[0][16], hers)
    assert (np.abs(drawn[60:75].astype(int) - 24) < 8).all()  # nobody: between his two parts


def test_a_video_is_drawn_over_at_its_own_size_and_rate(tmp_path):
    film(tmp_path / "film.mp4", count=60, fps=25)
    write_overlay([man()], tmp_path / "overlay.mp4", tmp_path / "film.mp4")
    drawn = frames(tmp_path / "overlay.mp4")
    assert drawn.shape == (60, 240, 320, 3)
    with av.open(str(tmp_path / "overlay.mp4")) as file:
        assert file.streams.video[0].average_rate == 25
    # The video is half as large as the image that the keypoints are of.
    assert near(drawn[7], man().keypoints[7][16] / 2, SHADES[0][0])
    assert drawn[7, 5, 5].min() > 200 and np.abs(drawn[7, -5, -5].astype(int) - (0, 90, 0)).max() < 30


def turned(path, quarter):
    """Marks a film to be shown a quarter turn with the clock (1) or against it (-1): its track's matrix."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # after version, flags, times, track, duration, layer, volume
    assert data[at : at + 4] == (65536).to_bytes(4, "big")
    matrix = (0, quarter, 0, -quarter, 0, 0, 0, 0, 16384)
    data[at : at + 36] = b"".join((65536 * value).to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)


@pytest.mark.parametrize("quarter", [1, -1])
def test_a_video_that_is_to_be_shown_upright_is_upright(quarter, tmp_path):
    film(tmp_path / "film.mp4", count=3)
    turned(tmp_path / "film.mp4", quarter)
    body = person(0, 0, 3, size=(240, 320), at=(120, 160))
    write_overlay([body], tmp_path / "overlay.mp4", tmp_path / "film.mp4")
    drawn = frames(tmp_path / "overlay.mp4")
    assert drawn.shape == (3, 320, 240, 3)
    # What was the upper left corner is now the upper right one, or the lower left one.
    corners = {1: drawn[1, 10, -10], -1: drawn[1, -10, 10]}
    assert corners[quarter].min() > 200 and corners[-quarter].min() < 100
    assert near(drawn[1], body.keypoints[1][16], SHADES[0][0])


def test_sides_of_an_odd_length_and_what_was_interpolated(tmp_path):
    body = person(0, 0, 31, size=(639, 479))
    write_overlay([body], tmp_path / "overlay.mp4")
    drawn = frames(tmp_path / "overlay.mp4")
    assert drawn.shape == (31, 480, 640, 3)
    thick = [(np.abs(image.astype(int) - 24).max(-1) > 30).sum() for image in drawn[14:16]]
    assert thick[1] < thick[0]  # frame 15 has a foot of confidence 0


def test_what_does_not_fit_is_refused(tmp_path):
    film(tmp_path / "tall.mp4", 240, 320, 2)
    with pytest.raises(ValueError, match=r"240 x 320 pixels, expected the shape .* 640 x 480"):
        write_overlay([man()], tmp_path / "overlay.mp4", tmp_path / "tall.mp4")
    with pytest.raises(ValueError, match="is the video itself"):
        write_overlay([man()], tmp_path / "tall.mp4", tmp_path / "tall.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"text\.mp4 cannot be read as a video"):
        write_overlay([man()], tmp_path / "overlay.mp4", tmp_path / "text.mp4")
    film(tmp_path / "short.mp4", count=10)
    with pytest.warns(RuntimeWarning, match="has 10 frames, expected 60"):
        write_overlay([man()], tmp_path / "overlay.mp4", tmp_path / "short.mp4")
    assert [path.name for path in tmp_path.iterdir() if "overlay" in path.name] == ["overlay.mp4"]
