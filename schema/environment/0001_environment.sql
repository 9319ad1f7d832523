-- Images with their bytes, and access tokens.

create table blob (
    digest      bytea primary key check (octet_length(digest) = 32),
    created_at  timestamptz not null
);

create table blob_chunk (
    digest      bytea not null references blob on delete cascade,
    chunk_no    int not null,
    data        bytea not null,
    primary key (digest, chunk_no)
);
-- Artifacts are compressed already.
alter table blob_chunk alter column data set storage external;

create table image (
    image_no    bigint generated always as identity primary key,
    image_id    text not null unique,
    tenant_id   text collate "C" not null,
    name        text collate "C" not null,
    description text,
    digest      bytea not null references blob,
    size_bytes  bigint not null,
    metadata    jsonb not null,
    created_at  timestamptz not null,
    unique (tenant_id, name, digest)
);
create index image_in_order on image (tenant_id, image_no);
create index image_by_name on image (tenant_id, name, image_no);
create index image_of_blob on image (digest);

-- An image is needed as long as an instance that has not ended refers to it.
alter table instance add constraint instance_image_exists foreign key (image_no) references image;

create table token (
    token_id    text primary key,
    token_hash  bytea not null unique,
    tenant_id   text collate "C",
    note        text,
    created_at  timestamptz not null,
    revoked_at  timestamptz
);
create index token_of_tenant on token (tenant_id);
