-- What an instance leaves behind, read back.

-- name: find_checkpoint
select state from checkpoint where instance_no = %(instance_no)s and key = %(key)s

-- name: checkpoint_sizes
-- Sizes first: a page is cut by bytes, and a state is read only when it fits.
select key, octet_length(state) as state_bytes from checkpoint
where instance_no = %(instance_no)s and key > %(after)s
order by key limit %(limit)s

-- name: checkpoint_states
select key, state from checkpoint
where instance_no = %(instance_no)s and key > %(after)s and key <= %(last)s
order by key

-- name: list_checkpoints
select checkpoint_no, key, epoch, created_at, octet_length(state) as state_bytes from checkpoint
where instance_no = %(instance_no)s and checkpoint_no < %(before)s
order by checkpoint_no desc limit %(limit)s

-- name: read_retries
select key, tries, error, next_at, waited_ms from retry where instance_no = %(instance_no)s order by key

-- name: list_events
select event_no, type, subtype, payload, epoch, created_at from event
where instance_no = %(instance_no)s and event_no > %(after)s
    and (%(types)s::text[] is null or type = any (%(types)s::text[]))
order by event_no limit %(limit)s
