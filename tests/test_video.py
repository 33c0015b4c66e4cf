"""Small videos written here and read back: upright, in order, at their rate; and one in a camera's place."""

import time
from fractions import Fraction

import numpy as np
import pytest

from posemamba.video import Video, newest

av = pytest.importorskip("av")
FRAMES, WIDTH, HEIGHT = 12, 64, 48


def picture(at: int) -> np.ndarray:
    """Red in the upper left quarter, and as bright a blue below as the frame's number says."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[: HEIGHT // 2, : WIDTH // 2, 0] = 220
    image[HEIGHT // 2 :, :, 2] = 20 * (at % 12)
    return image


def write(path, rotation=0, rate=Fraction(25), ratio=None, frames=FRAMES):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=rate, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        if rotation:
            stream.set_display_rotation(rotation)
        for at in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(at), format="rgb24")))
        file.mux(stream.encode(None))
    return path


def close(image, expected):
    return np.abs(image.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_frames_are_upright_and_in_order(tmp_path, rotation):
    video = Video.open(write(tmp_path / "small.mp4", rotation))
    turned = rotation in (90, -90)
    assert (video.width, video.height) == ((HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT))
    assert video.fps == 25 and video.frames == FRAMES
    for _ in range(2):  # it can be read again
        for at, image in enumerate(video):
            assert image.dtype == np.uint8 and image.flags.c_contiguous
            assert image.shape == (video.height, video.width, 3)
            # A display matrix says how far to turn against the clock, as rot90 does.
            assert close(image, np.rot90(picture(at), rotation // 90))
        assert at == FRAMES - 1


def test_pixels_are_made_square_and_odd_rates_kept(tmp_path):
    video = Video.open(write(tmp_path / "wide.mp4", ratio=Fraction(2), rate=Fraction(60000, 1001)))
    assert (video.width, video.height) == (2 * WIDTH, HEIGHT)
    assert video.fps == pytest.approx(59.94, abs=0.001)
    assert next(iter(video)).shape == (HEIGHT, 2 * WIDTH, 3)


def test_what_is_no_video_is_named(tmp_path, monkeypatch):
    path = tmp_path / "no.mp4"
    with pytest.raises(FileNotFoundError, match=r"no\.mp4 does not exist"):
        Video.open(path)
    path.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(ValueError, match=r"no\.mp4 cannot be read as a video"):
        Video.open(path)
    with av.open(str(tmp_path / "sound.wav"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        file.mux(stream.encode(sound))
    with pytest.raises(ValueError, match=r"sound\.wav has no video in it"):
        Video.open(tmp_path / "sound.wav")
    good = write(tmp_path / "good.mp4")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r"read with PyAV, .*pip install 'posemamba\[lift\]'"):
        Video.open(good)


def test_a_file_in_a_cameras_place_is_played_at_its_pace(tmp_path):
    path = write(tmp_path / "small.mp4", rotation=90)
    began = time.monotonic()
    shots = list(newest(str(path)))
    assert time.monotonic() - began >= (FRAMES - 1) / 25
    assert len(shots) >= 1 and shots[-1].number == FRAMES - 1
    for shot in shots:
        assert shot.seconds == pytest.approx(shot.number / 25)
        assert close(shot.image, np.rot90(picture(shot.number)))


def test_who_is_slow_gets_the_newest_frame(tmp_path):
    numbers = []
    for shot in newest(str(write(tmp_path / "small.mp4", frames=30))):
        numbers.append(shot.number)
        time.sleep(0.25)  # six frames
    assert numbers == sorted(set(numbers)) and numbers[-1] == 29
    assert len(numbers) <= 8 and max(np.diff(numbers)) >= 4


def test_one_may_stop_watching(tmp_path):
    shots = newest(str(write(tmp_path / "small.mp4", frames=250)))
    next(shots)
    began = time.monotonic()
    shots.close()
    assert time.monotonic() - began < 5


def test_a_camera_that_is_not_there():
    with pytest.raises(ValueError, match=r"camera 97 .*cannot be opened"):
        next(newest("97"))
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4 does not exist"):
        next(newest("nothing.mp4"))
