-- Images with their bytes, and access tokens.

-- name: store_blob
insert into blob (digest, created_at) values (%(digest)s, now()) on conflict (digest) do nothing returning digest

-- name: touch_blob
-- It is wanted again: a sweep leaves it alone for another while.
update blob set created_at = now() where digest = %(digest)s

-- name: store_chunk
insert into blob_chunk (digest, chunk_no, data) values (%(digest)s, %(chunk_no)s, %(data)s)

-- name: find_blob
select digest from blob where digest = %(digest)s

-- name: read_chunk
select data from blob_chunk where digest = %(digest)s and chunk_no = %(chunk_no)s

-- name: register_image
insert into image (image_id, tenant_id, name, description, digest, size_bytes, metadata, created_at)
values (
    %(image_id)s, %(tenant_id)s, %(name)s, %(description)s, %(digest)s, %(size_bytes)s, %(metadata)s, now()
)
on conflict (tenant_id, name, digest) do nothing
returning *

-- name: find_registered
select * from image where tenant_id = %(tenant_id)s and name = %(name)s and digest = %(digest)s

-- name: find_image_by_id
select * from image
where image_id = %(reference)s and (%(tenant_id)s::text is null or tenant_id = %(tenant_id)s)

-- name: find_image_by_name
select * from image where tenant_id = %(tenant_id)s and name = %(reference)s order by image_no desc limit 1

-- name: list_images
select * from image
where (%(tenant_id)s::text is null or tenant_id = %(tenant_id)s) and image_no < %(before)s
order by image_no desc limit %(limit)s

-- name: get_image
select * from image where image_no = %(image_no)s

-- name: lock_blob
-- Whoever registers an image of it holds a share of this row until the commit.
select digest from blob where digest = %(digest)s for update

-- name: delete_image
delete from image where image_no = %(image_no)s returning image_no

-- name: delete_unused_blob
delete from blob b where b.digest = %(digest)s and not exists (select from image i where i.digest = b.digest)

-- name: lock_unused_blobs
select b.digest from blob b
where b.created_at < now() - make_interval(secs => %(older_than_s)s)
    and not exists (select from image i where i.digest = b.digest)
for update of b skip locked

-- name: delete_unused_blobs
-- Under the locks, looked at once more: an image may have been registered before they were had.
delete from blob b
where b.digest = any (%(digests)s::bytea[]) and not exists (select from image i where i.digest = b.digest)
returning b.digest

-- name: create_token
insert into token (token_id, token_hash, tenant_id, note, created_at)
values (%(token_id)s, %(token_hash)s, %(tenant_id)s, %(note)s, now())
returning token_id, tenant_id, note, created_at, revoked_at

-- name: find_token
select token_id, tenant_id, note, created_at, revoked_at from token
where token_hash = %(token_hash)s and revoked_at is null

-- name: list_tokens
select token_id, tenant_id, note, created_at, revoked_at from token
where %(tenant_id)s::text is null or tenant_id = %(tenant_id)s
order by created_at, token_id

-- name: revoke_token
update token set revoked_at = coalesce(revoked_at, now()) where token_id = %(token_id)s returning token_id
