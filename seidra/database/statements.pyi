# The types of the statements in sql/, written by `make format`; tests/test_sql.py compares.

from collections.abc import Iterable, Mapping
from typing import Any

from seidra.database.base import Connection, Row

class _Events:
    def changes(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        position: object,
        horizon: object,
        job_id: object,
        limit: object,
    ) -> list[Row]: ...
    def oldest(self, connection: Connection, /) -> Any: ...
    def prune(
        self, connection: Connection, /, *, limit: object, before: object, beyond: object
    ) -> int: ...
    def pulse(
        self, connection: Connection, /, *, session_id: object, user_id: object, now: object
    ) -> Row | None: ...

class _Jobs:
    def cancel(
        self, connection: Connection, /, *, now: object, id: object, user_id: object
    ) -> int: ...
    def cancel_all(
        self, connection: Connection, /, *, now: object, user_id: object
    ) -> list[Row]: ...
    def cards(self, connection: Connection, /, *, nsfw: object, id: object) -> list[Row]: ...
    def claim(
        self, connection: Connection, /, *, claim: object, leased_until: object, now: object
    ) -> Row | None: ...
    def counts(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        status: object,
        job_type: object,
    ) -> list[Row]: ...
    def create(
        self,
        connection: Connection,
        /,
        *,
        id: object,
        user_id: object,
        persona_id: object,
        job_type: object,
        prompt: object,
        negative_prompt: object,
        model_name: object,
        lora_models: object,
        parameters: object,
        metadata: object,
        is_nsfw: object,
        search_text: object,
        now: object,
    ) -> int: ...
    def delete(self, connection: Connection, /, *, id: object, user_id: object) -> int: ...
    def due(self, connection: Connection, /, *, now: object) -> Any: ...
    def fail(
        self,
        connection: Connection,
        /,
        *,
        error_message: object,
        now: object,
        id: object,
        claim: object,
    ) -> int: ...
    def fail_exhausted(
        self, connection: Connection, /, *, error_message: object, now: object, max_attempts: object
    ) -> list[Row]: ...
    def finish(
        self,
        connection: Connection,
        /,
        *,
        seconds: object,
        metadata: object,
        now: object,
        id: object,
        claim: object,
    ) -> Row | None: ...
    def get(self, connection: Connection, /, *, id: object, user_id: object) -> list[Row]: ...
    def get_for_update(
        self, connection: Connection, /, *, id: object, user_id: object
    ) -> Row | None: ...
    def give_back(
        self,
        connection: Connection,
        /,
        *,
        run_after: object,
        uncounted: object,
        error_message: object,
        now: object,
        id: object,
        claim: object,
    ) -> int: ...
    def heartbeat(
        self, connection: Connection, /, *, leased_until: object, id: object, claim: object
    ) -> int: ...
    def last_completed(
        self, connection: Connection, /, *, user_id: object, nsfw: object
    ) -> Any: ...
    def leave_persona(
        self, connection: Connection, /, *, now: object, persona_id: object
    ) -> int: ...
    def live_claims(self, connection: Connection, /) -> list[Row]: ...
    def mark_nsfw(self, connection: Connection, /, *, now: object, persona_id: object) -> int: ...
    def matching(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        pattern: object,
        nsfw: object,
        status: object,
        job_type: object,
    ) -> list[Row]: ...
    def matching_persona(
        self,
        connection: Connection,
        /,
        *,
        persona_id: object,
        user_id: object,
        pattern: object,
        nsfw: object,
        status: object,
        job_type: object,
    ) -> list[Row]: ...
    def misdated(self, connection: Connection, /, *, horizon: object) -> Any: ...
    def page(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        job_type: object,
        limit: object,
        offset: object,
        nsfw: object,
    ) -> list[Row]: ...
    def page_safe(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        job_type: object,
        limit: object,
        offset: object,
        nsfw: object,
    ) -> list[Row]: ...
    def page_status(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        status: object,
        nsfw: object,
        job_type: object,
        limit: object,
        offset: object,
    ) -> list[Row]: ...
    def progress(
        self,
        connection: Connection,
        /,
        *,
        progress: object,
        leased_until: object,
        now: object,
        id: object,
        claim: object,
    ) -> int: ...
    def prunable(self, connection: Connection, /, *, before: object) -> Any: ...
    def prune(self, connection: Connection, /, *, before: object, limit: object) -> int: ...
    def purge_batch(self, connection: Connection, /, *, user_id: object, limit: object) -> int: ...
    def queued(self, connection: Connection, /, *, user_id: object) -> Any: ...
    def redate(
        self, connection: Connection, /, *, now: object, leased_until: object, horizon: object
    ) -> int: ...
    def remember(
        self, connection: Connection, /, *, engine_state: object, id: object, claim: object
    ) -> int: ...
    def results_changed(
        self, connection: Connection, /, *, now: object, media_id: object
    ) -> int: ...
    def state(self, connection: Connection, /, *, id: object, user_id: object) -> Row | None: ...

class _Media:
    def card(self, connection: Connection, /, *, id: object) -> Row | None: ...
    def counts(self, connection: Connection, /, *, user_id: object, nsfw: object) -> Row | None: ...
    def create(
        self,
        connection: Connection,
        /,
        *,
        id: object,
        user_id: object,
        job_id: object,
        position: object,
        persona_id: object,
        file_type: object,
        mime_type: object,
        width: object,
        height: object,
        file_size: object,
        metadata: object,
        is_nsfw: object,
        search_text: object,
        now: object,
    ) -> int: ...
    def delete(self, connection: Connection, /, *, id: object, user_id: object) -> int: ...
    def deletion_add(self, connection: Connection, /, *, media_id: object) -> int: ...
    def deletion_done(self, connection: Connection, /, *, media_id: object) -> int: ...
    def deletions(self, connection: Connection, /, *, limit: object) -> list[Row]: ...
    def exists(self, connection: Connection, /, *, id: object) -> Any: ...
    def get(self, connection: Connection, /, *, id: object, user_id: object) -> Row | None: ...
    def leave_persona(
        self, connection: Connection, /, *, now: object, persona_id: object
    ) -> int: ...
    def linked(self, connection: Connection, /, *, id: object, user_id: object) -> Row | None: ...
    def mark_nsfw(self, connection: Connection, /, *, now: object, persona_id: object) -> int: ...
    def matching(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        date_from: object,
        date_to: object,
        pattern: object,
        nsfw: object,
        favorites_only: object,
    ) -> list[Row]: ...
    def matching_persona(
        self,
        connection: Connection,
        /,
        *,
        persona_id: object,
        user_id: object,
        date_from: object,
        date_to: object,
        pattern: object,
        nsfw: object,
        favorites_only: object,
    ) -> list[Row]: ...
    def matching_tagged(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        tag_1: object,
        tag_2: object,
        tag_3: object,
        tag_4: object,
        tag_5: object,
        tag_6: object,
        tag_7: object,
        tag_8: object,
        persona_id: object,
        date_from: object,
        date_to: object,
        pattern: object,
        nsfw: object,
        favorites_only: object,
    ) -> list[Row]: ...
    def page(
        self, connection: Connection, /, *, user_id: object, limit: object, offset: object
    ) -> list[Row]: ...
    def page_favorites(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> list[Row]: ...
    def page_safe(
        self, connection: Connection, /, *, user_id: object, limit: object, offset: object
    ) -> list[Row]: ...
    def purge_batch(self, connection: Connection, /, *, user_id: object, limit: object) -> int: ...
    def tags_add(self, connection: Connection, sets: Iterable[Mapping[str, object]], /) -> int: ...
    def tags_clear(self, connection: Connection, /, *, media_id: object) -> int: ...
    def update(
        self,
        connection: Connection,
        /,
        *,
        tags: object,
        is_favorite: object,
        is_nsfw: object,
        search_text: object,
        now: object,
        id: object,
        user_id: object,
    ) -> int: ...
    def version(self, connection: Connection, /, *, id: object, user_id: object) -> Any: ...

class _Nsfw:
    def get(self, connection: Connection, /, *, user_id: object) -> Row | None: ...
    def get_default(self, connection: Connection, /) -> Row | None: ...
    def in_force(self, connection: Connection, /, *, user_id: object) -> Any: ...
    def put(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        enabled: object,
        age_verified: object,
        intensity: object,
        categories: object,
        overrides: object,
        now: object,
    ) -> int: ...
    def seed_default(
        self,
        connection: Connection,
        /,
        *,
        enabled: object,
        age_verified: object,
        intensity: object,
        categories: object,
        overrides: object,
        now: object,
    ) -> int: ...

class _Operations:
    def copy(self, connection: Connection, /, *, path: object) -> int: ...
    def dangling(self, connection: Connection, /) -> Any: ...
    def integrity(self, connection: Connection, /) -> list[Row]: ...
    def media_after(
        self, connection: Connection, /, *, after: object, limit: object
    ) -> list[Row]: ...
    def media_deletion_queued(self, connection: Connection, /, *, media_id: object) -> Any: ...
    def media_drop(self, connection: Connection, /, *, id: object) -> int: ...
    def media_kind(self, connection: Connection, /, *, id: object) -> Any: ...
    def media_total(self, connection: Connection, /) -> Row | None: ...
    def overdue_jobs(
        self, connection: Connection, /, *, before: object, now: object
    ) -> Row | None: ...
    def quick_integrity(self, connection: Connection, /) -> list[Row]: ...
    def sessions_end(self, connection: Connection, /) -> int: ...
    def wrong_counts(self, connection: Connection, /) -> Row | None: ...

class _Personas:
    def card(self, connection: Connection, /, *, nsfw: object, id: object) -> Any: ...
    def count(
        self, connection: Connection, /, *, user_id: object, nsfw: object, favorite: object
    ) -> Any: ...
    def create(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        name: object,
        description: object,
        style_prompt: object,
        negative_prompt: object,
        lora_models: object,
        generation_params: object,
        tags: object,
        is_favorite: object,
        is_nsfw: object,
        avatar_url: object,
        avatar_media_id: object,
        name_key: object,
        now: object,
    ) -> Any: ...
    def delete(self, connection: Connection, /, *, id: object, user_id: object) -> int: ...
    def get(self, connection: Connection, /, *, id: object, user_id: object) -> Row | None: ...
    def get_for_update(
        self, connection: Connection, /, *, id: object, user_id: object
    ) -> Row | None: ...
    def id_at(self, connection: Connection, /, *, user_id: object, offset: object) -> Any: ...
    def ids_by_name(self, connection: Connection, /, *, user_id: object) -> Any: ...
    def ids_by_updated(self, connection: Connection, /, *, user_id: object) -> Any: ...
    def matching_indexed(
        self, connection: Connection, /, *, expression: object, user_id: object
    ) -> Any: ...
    def matching_scanned(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        word: object,
        nsfw: object,
        favorite: object,
    ) -> Any: ...
    def matching_tagged(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        tag_1: object,
        tag_2: object,
        tag_3: object,
        tag_4: object,
        tag_5: object,
        tag_6: object,
        tag_7: object,
        tag_8: object,
        nsfw: object,
        favorite: object,
        tag_count: object,
    ) -> Any: ...
    def page_created_asc(
        self, connection: Connection, /, *, user_id: object, limit: object, offset: object
    ) -> Row | None: ...
    def page_created_asc_safe(
        self, connection: Connection, /, *, user_id: object, limit: object, offset: object
    ) -> Row | None: ...
    def page_created_desc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        before: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_created_desc_safe(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        before: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_favorites_created_asc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_favorites_created_desc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_favorites_name_asc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_favorites_name_desc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_favorites_updated_asc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_favorites_updated_desc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_name_asc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_name_desc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_updated_asc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def page_updated_desc(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        nsfw: object,
        limit: object,
        offset: object,
    ) -> Row | None: ...
    def purge_batch(self, connection: Connection, /, *, user_id: object, limit: object) -> int: ...
    def search_check(self, connection: Connection, /) -> int: ...
    def search_count(
        self, connection: Connection, /, *, expression: object, user_id: object
    ) -> Any: ...
    def search_drop_strays(self, connection: Connection, /) -> int: ...
    def search_newest(
        self,
        connection: Connection,
        /,
        *,
        expression: object,
        user_id: object,
        limit: object,
        offset: object,
    ) -> Any: ...
    def search_oldest(
        self,
        connection: Connection,
        /,
        *,
        expression: object,
        user_id: object,
        from_id: object,
        limit: object,
        offset: object,
    ) -> Any: ...
    def search_optimize(self, connection: Connection, /) -> int: ...
    def search_put(
        self,
        connection: Connection,
        /,
        *,
        user_id: object,
        id: object,
        is_nsfw: object,
        is_favorite: object,
        search_text: object,
    ) -> int: ...
    def search_queue_clear(self, connection: Connection, /) -> int: ...
    def search_rebuild(self, connection: Connection, /) -> int: ...
    def search_sources(
        self, connection: Connection, /, *, after: object, limit: object
    ) -> list[Row]: ...
    def search_strays(self, connection: Connection, /) -> Any: ...
    def search_version(self, connection: Connection, /, *, user_id: object) -> Any: ...
    def search_versions_renew(self, connection: Connection, /) -> int: ...
    def search_waiting(
        self, connection: Connection, /, *, user_id: object, nsfw: object, favorite: object
    ) -> list[Row]: ...
    def spans(self, connection: Connection, /, *, user_id: object, nsfw: object) -> Any: ...
    def tags_add(self, connection: Connection, sets: Iterable[Mapping[str, object]], /) -> int: ...
    def tags_clear(self, connection: Connection, /, *, persona_id: object) -> int: ...
    def update(
        self,
        connection: Connection,
        /,
        *,
        name: object,
        description: object,
        style_prompt: object,
        negative_prompt: object,
        lora_models: object,
        generation_params: object,
        tags: object,
        is_favorite: object,
        is_nsfw: object,
        avatar_url: object,
        avatar_media_id: object,
        name_key: object,
        now: object,
        id: object,
        user_id: object,
    ) -> int: ...
    def version(self, connection: Connection, /, *, id: object, user_id: object) -> Any: ...

class _Platform:
    def jobs_by_status(self, connection: Connection, /) -> list[Row]: ...
    def media_bytes(self, connection: Connection, /) -> Any: ...
    def oldest_queued(self, connection: Connection, /) -> Any: ...
    def ping(self, connection: Connection, /) -> Any: ...
    def remember(
        self, connection: Connection, /, *, name: object, value: object, now: object
    ) -> int: ...
    def state(self, connection: Connection, /, *, name: object) -> Any: ...
    def summary(self, connection: Connection, /) -> Row | None: ...

class _Users:
    def by_email(self, connection: Connection, /, *, key: object) -> Row | None: ...
    def by_username(self, connection: Connection, /, *, key: object) -> Row | None: ...
    def create(
        self,
        connection: Connection,
        /,
        *,
        username: object,
        username_key: object,
        email: object,
        email_key: object,
        password_hash: object,
        is_admin: object,
        settings: object,
        now: object,
    ) -> Row | None: ...
    def end_sessions(self, connection: Connection, /, *, user_id: object, keep: object) -> int: ...
    def get(self, connection: Connection, /, *, id: object) -> Row | None: ...
    def get_for_update(self, connection: Connection, /, *, id: object) -> Row | None: ...
    def list_all(self, connection: Connection, /) -> list[Row]: ...
    def mark_deleted(
        self, connection: Connection, /, *, now: object, tombstone: object, id: object
    ) -> int: ...
    def next_deleted(self, connection: Connection, /) -> Any: ...
    def other_active_admins(self, connection: Connection, /, *, id: object) -> Any: ...
    def password_hash(self, connection: Connection, /, *, id: object) -> Any: ...
    def purge(self, connection: Connection, /, *, id: object) -> int: ...
    def record_first_person(
        self, connection: Connection, /, *, username: object, now: object
    ) -> Any: ...
    def refresh_add(
        self, connection: Connection, /, *, digest: object, session_id: object
    ) -> int: ...
    def refresh_get(
        self, connection: Connection, /, *, digest: object, session_id: object, now: object
    ) -> Row | None: ...
    def refresh_prune(
        self, connection: Connection, /, *, session_id: object, used_before: object
    ) -> int: ...
    def refresh_use(self, connection: Connection, /, *, now: object, digest: object) -> int: ...
    def seed(
        self,
        connection: Connection,
        /,
        *,
        id: object,
        username: object,
        email: object,
        settings: object,
        now: object,
    ) -> int: ...
    def seed_password(
        self, connection: Connection, /, *, password_hash: object, now: object, id: object
    ) -> int: ...
    def session_create(
        self,
        connection: Connection,
        /,
        *,
        id: object,
        user_id: object,
        now: object,
        expires_at: object,
    ) -> int: ...
    def session_end(self, connection: Connection, /, *, session_id: object) -> int: ...
    def session_user(
        self, connection: Connection, /, *, session_id: object, user_id: object, now: object
    ) -> Row | None: ...
    def sessions_prune(self, connection: Connection, /, *, now: object) -> int: ...
    def update_email(
        self,
        connection: Connection,
        /,
        *,
        email: object,
        email_key: object,
        now: object,
        id: object,
    ) -> int: ...
    def update_password(
        self, connection: Connection, /, *, password_hash: object, now: object, id: object
    ) -> int: ...
    def update_rights(
        self,
        connection: Connection,
        /,
        *,
        is_active: object,
        is_admin: object,
        now: object,
        id: object,
    ) -> int: ...
    def update_settings(
        self, connection: Connection, /, *, settings: object, now: object, id: object
    ) -> int: ...

class _Workers:
    def gone(self, connection: Connection, /, *, id: object) -> int: ...
    def list_all(self, connection: Connection, /) -> list[Row]: ...
    def prune(self, connection: Connection, /, *, before: object) -> int: ...
    def seen(
        self,
        connection: Connection,
        /,
        *,
        id: object,
        host: object,
        pid: object,
        engine: object,
        now: object,
    ) -> int: ...

class Queries:
    events: _Events
    jobs: _Jobs
    media: _Media
    nsfw: _Nsfw
    operations: _Operations
    personas: _Personas
    platform: _Platform
    users: _Users
    workers: _Workers
