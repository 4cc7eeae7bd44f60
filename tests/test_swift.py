"""Media in a bucket of a server that looks at signatures: what any store does, what is forged or
too late, and both ways in which pictures reach a browser. Tests of `test_bucket` run here again."""

from __future__ import annotations

import dataclasses
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import obstore
import pytest
import swift
import test_bucket
from buckets import KEYS, BucketServer, names
from swift import swift_server
from test_bucket import ID, KEY, SMALL, in_bucket
from test_nginx import NGINX

from seidra import create_app
from seidra.config import Settings
from seidra.errors import StartError
from seidra.files import open_files
from seidra.files.base import Files, StoreUnavailable
from seidra.operations import checks

pytestmark = [
    pytest.mark.skipif(bool(swift.MISSING), reason=swift.REASON),
    pytest.mark.slow,
]

bucket, placed, instance = test_bucket.bucket, test_bucket.placed, test_bucket.instance

test_what_is_put = test_bucket.test_what_is_put_is_there_until_it_is_deleted
test_a_large_file = test_bucket.test_a_large_file_goes_in_parts_and_is_read_where_it_is_sought
test_what_is_adopted = test_bucket.test_what_is_adopted_is_taken_back_when_the_rest_fails
test_what_is_no_key = test_bucket.test_what_is_no_key_names_no_file
test_an_object = test_bucket.test_an_object_carries_its_type_and_its_address_is_good_for_a_minute
test_by_a_redirect = test_bucket.test_pictures_are_made_shown_and_deleted
test_the_way_back = test_bucket.test_the_way_back_gives_plain_names_there_too
if NGINX is not None:
    test_behind_nginx = test_bucket.test_behind_nginx_the_bytes_come_from_the_bucket


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    with swift_server(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture
def files(placed: Settings) -> Files:
    store = open_files(placed)
    store.check()
    return store


def status_of(address: str, method: str = "GET") -> int:
    """What the server says to an address, without any key."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, method=method), timeout=60
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def other_end(text: str) -> str:
    """A text whose last character is another one."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def test_a_list_has_pages_here_too(files: Files, server: BucketServer, bucket: str) -> None:
    made = [f"6f/{ID[:-4]}{n:04x}.png" for n in range(swift.PAGE * 2 + 1)]
    for key in made:
        files.put(key, b"x", "image/png")
    assert list(files.keys()) == made
    # A request to delete many carries a sum of itself, or is refused.
    files.delete([*made, KEY])
    assert names(server.store(bucket)) == []


def test_a_signed_address_is_good_for_what_was_signed(
    files: Files, server: BucketServer, bucket: str
) -> None:
    files.put(KEY, b"picture", "image/png")
    files.put(SMALL, b"small", "image/webp")
    link = files.link(KEY, 3600)
    assert link is not None
    address = link.address
    assert status_of(address) == 200
    bare, query = address.split("?")
    # Nothing is signed, so this is none of S3's requests.
    assert status_of(bare) == 400
    longer = address.replace("X-Amz-Expires=60", "X-Amz-Expires=6000")
    assert longer != address
    assert [
        status_of(other_end(address)),
        status_of(longer),
        status_of(address.replace(KEY, SMALL)),
        status_of(address, "DELETE"),
        status_of(address.replace("seidra%3Atests", "seidra%3Aother")),
        status_of(f"{server.endpoint}/{bucket}?{query}"),
    ] == [403] * 6
    assert sorted(files.keys()) == [KEY, SMALL]
    head = files.link(KEY, 3600, "HEAD")
    assert head is not None
    assert (status_of(head.address, "HEAD"), status_of(head.address)) == (200, 403)


def test_a_signed_address_ends(files: Files, server: BucketServer, bucket: str) -> None:
    files.put(KEY, b"picture", "image/png")
    name, store = f"seidra/{KEY}", server.store(bucket)
    assert status_of(obstore.sign(store, "GET", name, timedelta(seconds=60))) == 200
    short = obstore.sign(store, "GET", name, timedelta(seconds=1))
    time.sleep(2.1)
    assert status_of(short) == 403


@pytest.mark.parametrize("name", list(KEYS))
def test_wrong_keys_are_told_at_the_start(placed: Settings, name: str) -> None:
    """The keys themselves are said nowhere."""
    wrong = {**KEYS, name: other_end(KEYS[name])}
    chosen = dataclasses.replace(placed, bucket_keys=tuple(wrong.items()))
    with pytest.raises(StartError) as caught:
        create_app(chosen)
    said = caught.value.message
    assert "is closed to us: correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said
    found = {check.name: check for check in checks.examine(chosen, whole=False)}
    assert (found["bucket"].state, found["bucket"].seen) == (checks.FAIL, said)
    assert wrong[name] not in said
    with pytest.raises(StoreUnavailable):
        open_files(chosen).put(KEY, b"x", "image/png")
    assert open_files(placed).is_empty()


def test_the_doctor_finds_nothing(placed: Settings) -> None:
    found = {check.name: check for check in checks.examine(placed, whole=False)}
    assert found["bucket"].state == checks.OK
    assert open_files(in_bucket(placed, placed.media_url or "")).is_empty()
