"""One file from a web server of our own: stopped, resumed, changed there, cut short, or another file."""

import hashlib
import io
import time
import zipfile

import numpy as np
import pytest

from data_prep.fetching import fetch
from tests.data_prep.web import serving
from tests.sentences import refused


@pytest.fixture
def server():
    with serving(archive()) as server:
        yield server


def archive(seed=0, size=600_000):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("noise", np.random.default_rng(seed).bytes(size))
    return content.getvalue()


def get(server, folder, tries=0, url=None):
    return fetch(url or server.url, folder / "all.zip", "an archive", timeout=5, tries=tries, pause=0.01)


def test_a_file_comes_whole_and_is_not_fetched_twice(server, tmp_path):
    path = get(server, tmp_path)
    assert path.read_bytes() == server.content
    digest = hashlib.sha256(server.content).hexdigest()
    assert (tmp_path / "all.zip.sha256").read_text() == f"{digest}  all.zip\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["all.zip", "all.zip.sha256"]
    assert get(server, tmp_path) == path and len(server.seen) == 1
    path.write_bytes(server.content[:-1] + b"x")
    refused(lambda: get(server, tmp_path), "all.zip has SHA-256", "changed", "delete both")


@pytest.mark.parametrize("etag", ['"one"', "", 'W/"weak"'])
def test_a_stopped_download_goes_on(server, tmp_path, etag):
    server.etag, server.stops = etag, [200_000]
    refused(lambda: get(server, tmp_path), "stopped after 200,000 bytes", "goes on from there")
    assert (tmp_path / "all.zip.part").stat().st_size == 200_000 and not (tmp_path / "all.zip").exists()
    assert get(server, tmp_path).read_bytes() == server.content
    first, second = server.seen
    assert "Range" not in first and second["Range"] == "bytes=200000-"
    # A weak tag says nothing of the bytes.
    assert second["If-Range"] == (etag if etag == '"one"' else server.modified)


def test_a_lost_connection_is_taken_up_in_the_same_call(server, tmp_path):
    server.stops = [100_000, 250_000, 400_000]
    assert get(server, tmp_path, tries=2).read_bytes() == server.content
    assert [seen.get("Range") for seen in server.seen] == [
        None,
        *(f"bytes={at}-" for at in (100000, 250000, 400000)),
    ]


def test_a_server_that_ignores_ranges_starts_again(server, tmp_path):
    server.stops, server.ranges = [200_000], False
    assert get(server, tmp_path, tries=2).read_bytes() == server.content
    assert "Range" in server.seen[1]


@pytest.mark.parametrize("tagged", [True, False])
def test_a_file_that_changed_meanwhile_starts_again(server, tmp_path, tagged):
    server.stops = [200_000]
    server.etag = server.etag if tagged else ""
    refused(lambda: get(server, tmp_path), "stopped")
    server.content, server.etag = archive(seed=1), '"two"' if tagged else ""
    server.modified = "Mon, 02 Nov 2026 00:00:00 GMT"
    assert get(server, tmp_path).read_bytes() == server.content
    assert "Range" in server.seen[1]


def test_without_a_mark_of_its_state_a_file_starts_again(server, tmp_path):
    server.stops, server.etag, server.modified = [200_000], "", ""
    assert get(server, tmp_path, tries=2).read_bytes() == server.content
    assert "Range" not in server.seen[1]


def test_a_part_that_is_all_of_it_or_more(server, tmp_path):
    server.stops = [len(server.content) - 1]
    refused(lambda: get(server, tmp_path), "stopped")
    with (tmp_path / "all.zip.part").open("ab") as part:
        part.write(server.content[-1:])
    assert get(server, tmp_path).read_bytes() == server.content
    for path in tmp_path.iterdir():
        path.unlink()
    server.stops = [200_000]
    refused(lambda: get(server, tmp_path), "stopped")
    server.content = archive(size=1000)  # under the same tag
    assert get(server, tmp_path, tries=3).read_bytes() == server.content


def test_busy_servers_are_asked_again_and_absent_files_are_not(server, tmp_path):
    server.answers = [503, 429]
    assert get(server, tmp_path, tries=3).read_bytes() == server.content
    (tmp_path / "all.zip").unlink()
    server.answers, before = [404], len(server.seen)
    refused(lambda: get(server, tmp_path, tries=3), server.url, "404", "expected an archive")
    assert len(server.seen) == before + 1
    server.answers = [500] * 9
    refused(lambda: get(server, tmp_path, tries=3), "500", "stopped after 0 bytes")


def test_a_web_page_is_not_an_archive(server, tmp_path):
    server.kind, server.content = "text/html", b"<!DOCTYPE html><html>moved</html>"
    refused(lambda: get(server, tmp_path), "text/html", "expected an archive")
    server.kind = "application/octet-stream"
    refused(lambda: get(server, tmp_path), "web page", "expected an archive")
    assert not list(tmp_path.glob("all.zip*"))[1:]
    server.announced, server.content = False, archive()
    assert get(server, tmp_path).read_bytes() == server.content


def test_redirects_stay_on_the_web(server, tmp_path):
    server.redirects = {"/old": "/all.zip", "/out": "file:///etc/hostname", "/round": "/round"}
    base = server.url.removesuffix("/all.zip")
    refused(lambda: get(server, tmp_path, url=f"{base}/out"), "file:///etc/hostname", "http")
    refused(lambda: get(server, tmp_path, url=f"{base}/round"), "302")
    assert get(server, tmp_path, url=f"{base}/old").read_bytes() == server.content


def test_only_the_web_and_only_a_server_that_is_there(server, tmp_path):
    refused(lambda: get(server, tmp_path, url="ftp://127.0.0.1/all.zip"), "ftp://", "http")
    refused(lambda: get(server, tmp_path, url=str(tmp_path / "a.zip")), "http")
    refused(lambda: get(server, tmp_path, url="http://127.0.0.1:9/all.zip"), "stopped after 0 bytes")
    began = time.monotonic()
    server.stops = [0]
    refused(lambda: get(server, tmp_path), "stopped")
    assert time.monotonic() - began < 4
