-- The first schema: documents and their revisions, the job queue, the index log, keys and answers.
--
-- Rules live here as constraints, so that no code path can break them. Ids are UUIDv7 made by the caller; times are timestamptz;
-- hashes are SHA-256 (32 bytes). Tables that grow are paged by key, never by OFFSET.

-- People and services ------------------------------------------------------------------------------------------------------------

CREATE TABLE principals (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (octet_length(name) BETWEEN 1 AND 1024),
    kind        text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service')),
    role        text NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);

-- The secret is never stored: only HMAC-SHA256(pepper, secret). public_id is the visible beginning of the key.
CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    principal_id uuid NOT NULL REFERENCES principals,
    public_id    text NOT NULL UNIQUE CHECK (octet_length(public_id) BETWEEN 8 AND 64),
    secret_hmac  bytea NOT NULL CHECK (octet_length(secret_hmac) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX api_keys_principal ON api_keys (principal_id);

-- Documents ----------------------------------------------------------------------------------------------------------------------

CREATE TABLE collections (
    id         uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (octet_length(name) BETWEEN 1 AND 1024),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO collections (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'default');

-- The identity of a source. `origin` is a path, a URL or an issue key; it names one living document per collection.
CREATE TABLE documents (
    id                  uuid PRIMARY KEY,
    collection_id       uuid NOT NULL REFERENCES collections,
    origin              text NOT NULL CHECK (octet_length(origin) BETWEEN 1 AND 2048),
    title               text NOT NULL CHECK (octet_length(title) BETWEEN 1 AND 1024),
    sensitivity         text NOT NULL DEFAULT 'internal'
                        CHECK (sensitivity IN ('public', 'internal', 'confidential', 'restricted')),
    -- An object whose values are all strings.
    metadata            jsonb NOT NULL DEFAULT '{}'
                        CHECK (jsonb_typeof(metadata) = 'object'
                               AND NOT jsonb_path_exists(metadata, 'strict $.* ? (@.type() != "string")')),
    -- The revision that search sees; NULL until the first one is published and after deletion.
    current_revision_id uuid,
    created_by          uuid REFERENCES principals,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    deleted_at          timestamptz,
    CHECK (deleted_at IS NULL OR current_revision_id IS NULL)
);
CREATE UNIQUE INDEX documents_origin ON documents (collection_id, origin) WHERE deleted_at IS NULL;
CREATE INDEX documents_collection ON documents (collection_id, id) WHERE deleted_at IS NULL;

-- Content-addressed bytes: stored once however many revisions share them.
CREATE TABLE originals (
    sha256     bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    size       bigint NOT NULL CHECK (size > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Row `ordinal` holds bytes [ordinal MiB, ordinal MiB + size) of the original as one zstd frame.
CREATE TABLE original_parts (
    sha256  bytea NOT NULL REFERENCES originals ON DELETE CASCADE,
    ordinal integer NOT NULL CHECK (ordinal >= 0),
    size    integer NOT NULL CHECK (size BETWEEN 1 AND 1048576),
    data    bytea NOT NULL CHECK (octet_length(data) > 0),
    PRIMARY KEY (sha256, ordinal)
);
-- Already compressed: PostgreSQL must not try again.
ALTER TABLE original_parts ALTER COLUMN data SET STORAGE EXTERNAL;

-- Immutable once published. `text_*` is the extracted text: UTF-8, zstd, with the hash and size of the uncompressed bytes.
CREATE TABLE revisions (
    id              uuid PRIMARY KEY,
    document_id     uuid NOT NULL REFERENCES documents,
    sequence        integer NOT NULL CHECK (sequence >= 1),
    original_sha256 bytea NOT NULL REFERENCES originals,
    size            bigint NOT NULL CHECK (size > 0),
    media_type      text NOT NULL CHECK (octet_length(media_type) BETWEEN 1 AND 255),
    file_name       text NOT NULL DEFAULT '' CHECK (octet_length(file_name) <= 1024),
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'published', 'failed', 'retracted')),
    -- Why it failed: machine-readable, then for people.
    reason          text NOT NULL DEFAULT '',
    message         text NOT NULL DEFAULT '',
    parser          text NOT NULL DEFAULT '',
    parser_version  text NOT NULL DEFAULT '',
    text_zstd       bytea,
    text_sha256     bytea CHECK (octet_length(text_sha256) = 32),
    text_size       bigint CHECK (text_size >= 0),
    -- Headings, pages, tables with their spans.
    structure       jsonb CHECK (jsonb_typeof(structure) = 'object'),
    -- Accounts for the whole original: what is in chunks and what was dropped, with reasons.
    receipt         jsonb CHECK (jsonb_typeof(receipt) = 'object'),
    created_at      timestamptz NOT NULL DEFAULT now(),
    published_at    timestamptz,
    UNIQUE (document_id, sequence),
    -- For the reference from documents: the current revision must be one of the document's own.
    UNIQUE (document_id, id),
    CHECK (state NOT IN ('published', 'retracted')
           OR (text_zstd IS NOT NULL AND text_sha256 IS NOT NULL AND text_size IS NOT NULL AND structure IS NOT NULL
               AND receipt IS NOT NULL AND parser <> '' AND published_at IS NOT NULL)),
    CHECK (state <> 'failed' OR reason <> '')
);
ALTER TABLE revisions ALTER COLUMN text_zstd SET STORAGE EXTERNAL;
CREATE INDEX revisions_original ON revisions (original_sha256);
ALTER TABLE documents ADD CONSTRAINT documents_current_revision
    FOREIGN KEY (id, current_revision_id) REFERENCES revisions (document_id, id) DEFERRABLE INITIALLY IMMEDIATE;

-- `text` repeats the revision's text[span_start ..< span_end], so that followers of the index log read one table;
-- the checks make it verifiable: span in UTF-8 bytes, hash = SHA-256 of those bytes.
CREATE TABLE chunks (
    id            uuid PRIMARY KEY,
    revision_id   uuid NOT NULL REFERENCES revisions,
    ordinal       integer NOT NULL CHECK (ordinal >= 0),
    span_start    integer NOT NULL CHECK (span_start >= 0),
    span_end      integer NOT NULL,
    -- The section around the chunk that an answer may show; NULL when the chunk is all there is.
    passage_start integer,
    passage_end   integer,
    page          integer CHECK (page >= 1),
    heading_path  text[] NOT NULL DEFAULT '{}',
    hash          bytea NOT NULL,
    text          text NOT NULL,
    UNIQUE (revision_id, ordinal),
    CHECK (span_end > span_start AND span_end - span_start = octet_length(text)),
    CHECK (hash = sha256(convert_to(text, 'UTF8'))),
    CHECK ((passage_start IS NULL) = (passage_end IS NULL)),
    CHECK (passage_start IS NULL OR (passage_start BETWEEN 0 AND span_start AND passage_end >= span_end))
);

-- Quantised vectors, filled in the background; `model` is the fingerprint of the embedding model.
CREATE TABLE embeddings (
    chunk_id   uuid NOT NULL REFERENCES chunks ON DELETE CASCADE,
    model      text NOT NULL CHECK (octet_length(model) BETWEEN 1 AND 255),
    dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 8192),
    vector     bytea NOT NULL CHECK (octet_length(vector) > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chunk_id, model)
);

-- What every search replica follows. Written only through IndexLog.append: it makes commit order equal sequence order.
CREATE TABLE index_log (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('publish', 'embedded', 'retract')),
    document_id uuid NOT NULL REFERENCES documents,
    revision_id uuid NOT NULL REFERENCES revisions,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- The durable queue ----------------------------------------------------------------------------------------------------------------

--   queued → running → succeeded | partial | failed | dead        queued, running → cancelled
--   running → queued (retryable failure with attempts left, or the lease expired)
--   failed, dead, partial, cancelled → queued (a person retries)
CREATE TABLE jobs (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 64),
    payload         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    state           text NOT NULL DEFAULT 'queued'
                    CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'dead', 'cancelled')),
    -- Higher runs first.
    priority        smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
    -- Claims so far.
    attempt         integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    attempts_max    integer NOT NULL DEFAULT 5 CHECK (attempts_max BETWEEN 1 AND 100),
    -- Not claimed before this time.
    run_at          timestamptz NOT NULL DEFAULT now(),
    lease_until     timestamptz,
    lease_owner     text CHECK (octet_length(lease_owner) BETWEEN 1 AND 255),
    -- Raised by every claim; a commit must name the current value.
    fencing         bigint NOT NULL DEFAULT 0 CHECK (fencing >= 0),
    stage           text NOT NULL DEFAULT '' CHECK (octet_length(stage) <= 64),
    progress_done   bigint NOT NULL DEFAULT 0 CHECK (progress_done >= 0),
    -- 0 while unknown.
    progress_total  bigint NOT NULL DEFAULT 0 CHECK (progress_total >= 0),
    -- Why the last attempt did not succeed: machine-readable, then for people.
    reason          text NOT NULL DEFAULT '',
    message         text NOT NULL DEFAULT '',
    result          jsonb CHECK (jsonb_typeof(result) = 'object'),
    idempotency_key text CHECK (octet_length(idempotency_key) BETWEEN 1 AND 255),
    traceparent     text NOT NULL DEFAULT '',
    request_id      text NOT NULL DEFAULT '',
    principal_id    uuid REFERENCES principals,
    document_id     uuid REFERENCES documents,
    revision_id     uuid REFERENCES revisions,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state = 'running') = (lease_owner IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'partial', 'failed', 'dead', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (state NOT IN ('partial', 'failed', 'dead') OR reason <> '')
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX jobs_idempotency ON jobs (principal_id, idempotency_key) NULLS NOT DISTINCT
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_claimable ON jobs (priority DESC, run_at, id) WHERE state = 'queued';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_unsuccessful ON jobs (state, id) WHERE state IN ('partial', 'failed', 'dead', 'cancelled');
CREATE INDEX jobs_revision ON jobs (revision_id) WHERE revision_id IS NOT NULL;

-- Answers --------------------------------------------------------------------------------------------------------------------------

CREATE TABLE answers (
    id              uuid PRIMARY KEY,
    principal_id    uuid REFERENCES principals,
    question        text NOT NULL CHECK (octet_length(question) BETWEEN 1 AND 8192),
    -- Filters and limits as asked, enough to run it again.
    scope           jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(scope) = 'object'),
    outcome         text NOT NULL CHECK (outcome IN ('ANSWERED', 'PARTIAL', 'ABSTAINED')),
    text            text NOT NULL,
    -- The last index_log sequence that the search had seen.
    corpus_sequence bigint NOT NULL CHECK (corpus_sequence >= 0),
    -- Which answerer and which model made it.
    model           text NOT NULL CHECK (octet_length(model) BETWEEN 1 AND 255),
    request_id      text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE claims (
    answer_id uuid NOT NULL REFERENCES answers ON DELETE CASCADE,
    ordinal   integer NOT NULL CHECK (ordinal >= 0),
    text      text NOT NULL CHECK (text <> ''),
    verdict   text NOT NULL CHECK (verdict IN ('SUPPORTED', 'CONTRADICTED', 'NOT_FOUND', 'NOT_CHECKABLE')),
    score     double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (answer_id, ordinal)
);

-- Anyone can check one offline: quote = text[span] of the revision, and hash(chunk) = chunk_hash.
CREATE TABLE citations (
    answer_id     uuid NOT NULL,
    claim_ordinal integer NOT NULL,
    ordinal       integer NOT NULL CHECK (ordinal >= 0),
    document_id   uuid NOT NULL REFERENCES documents,
    revision_id   uuid NOT NULL REFERENCES revisions,
    chunk_ordinal integer NOT NULL CHECK (chunk_ordinal >= 0),
    chunk_hash    bytea NOT NULL CHECK (octet_length(chunk_hash) = 32),
    span_start    integer NOT NULL CHECK (span_start >= 0),
    span_end      integer NOT NULL,
    quote         text NOT NULL,
    PRIMARY KEY (answer_id, claim_ordinal, ordinal),
    FOREIGN KEY (answer_id, claim_ordinal) REFERENCES claims ON DELETE CASCADE,
    FOREIGN KEY (revision_id, chunk_ordinal) REFERENCES chunks (revision_id, ordinal),
    CHECK (span_end > span_start AND span_end - span_start = octet_length(quote))
);

CREATE TABLE settings (
    key        text PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 255),
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
