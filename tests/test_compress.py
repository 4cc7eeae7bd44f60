"""Answers that are gzipped, and what is not."""

from __future__ import annotations

import gzip
import json

from conftest import PASSWORD, Person

GZIP = {"Accept-Encoding": "br, gzip"}


def test_a_list_is_gzipped_for_who_accepts_it(alice: Person) -> None:
    for _ in range(3):
        alice.persona(description="a long walk by the sea " * 20)
    plain = alice.get("/api/personas")
    packed = alice.get("/api/personas", headers=GZIP)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data) / 3
    assert int(packed.headers["Content-Length"]) == len(packed.data)
    assert json.loads(gzip.decompress(packed.data)) == plain.get_json()
    for answer in (plain, packed):
        assert answer.headers["Vary"] == "Authorization, Origin, Accept-Encoding"
    refused = alice.get("/api/personas", headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert refused.data == plain.data
    head = alice.open("HEAD", "/api/personas", headers=GZIP)
    assert (head.data, head.headers["Content-Length"]) == (b"", str(len(packed.data)))


def test_the_etag_of_a_gzipped_answer_is_good_for_everything(alice: Person) -> None:
    path = f"/api/personas/{alice.persona(description='sea ' * 500)['id']}"
    plain, packed = alice.get(path), alice.get(path, headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] == f"W/{plain.headers['ETag']}"
    for tag in (plain.headers["ETag"], packed.headers["ETag"]):
        for more in ({}, GZIP):
            again = alice.get(path, headers={"If-None-Match": tag, **more})
            assert (again.status_code, again.data) == (304, b"")
            assert "Content-Encoding" not in again.headers
            assert "Accept-Encoding" in again.headers["Vary"]
    change = {"json": {"name": "Nova"}, "headers": {"If-Match": packed.headers["ETag"], **GZIP}}
    assert alice.patch(path, **change).status_code == 200
    assert alice.patch(path, **change).status_code == 412


def test_what_is_small_or_secret_or_a_picture_is_not_gzipped(alice: Person) -> None:
    small = alice.get("/api/jobs", headers=GZIP)
    assert "Content-Encoding" not in small.headers
    body = {"username": "alice", "password": PASSWORD}
    login = alice.client.post("/api/auth/login", json=body, headers=GZIP)
    ticket = alice.post("/api/jobs/events/ticket", headers=GZIP)
    for answer in (login, ticket):
        assert answer.status_code in (200, 201)
        assert "no-store" in answer.headers["Cache-Control"]
        assert "Content-Encoding" not in answer.headers
    assert len(login.data) > 700, "too short to tell anything"
    document = alice.client.get("/api/openapi.json", headers=GZIP)
    assert document.headers["Content-Encoding"] == "gzip"
    script = alice.client.get("/api/docs/files/swagger-ui-bundle.js", headers=GZIP)
    assert script.status_code == 200
    assert "Content-Encoding" not in script.headers
    script.close()
