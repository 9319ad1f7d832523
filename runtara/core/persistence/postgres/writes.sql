-- The hot path. Parameters by position are arrays of equal length, one element per write.
--
-- Fencing is exact: each statement takes a lock on the rows of its instances and checks epoch and status under it, so a
-- batch that waited for somebody else's change sees that change (docs/decisions/0001). Rows are locked in the order
-- of their numbers by everybody who locks several.
--
-- What is joined with a condition that looks rare (running, unanswered) is joined laterally, behind a fence (for share,
-- offset 0): one look-up by key for each write, whatever the planner believes of a table that it has not seen yet. As
-- plain joins they read all that runs, or all signals that wait, for every batch of a young database.

-- name: lock_instances
-- First in a transaction of several statements: those that follow see all that was committed before the lock.
select from instance where instance_no = any(%(instance_nos)s) order by instance_no for no key update

-- name: save_plain_checkpoints
-- Alone and committing by itself: what most batches are. Executed by libpq itself (prepared.py), because nothing else
-- is as hot.
insert into checkpoint (instance_no, epoch, key, state, created_at)
select given.instance_no, given.epoch, given.key, given.state, now()
from (
    select * from unnest($1::int8[], $2::int4[], $3::text[], $4::bytea[])
        with ordinality as t (instance_no, epoch, key, state, n)
    order by instance_no, n
) given
cross join lateral (
    select from instance i
    where i.instance_no = given.instance_no and i.epoch = given.epoch and i.status = 'running'
    for share
) allowed
on conflict (instance_no, key) do nothing
returning checkpoint_no

-- name: explain_plain_checkpoints
-- What became of each write of the statement above, when not all were saved.
with judged as (
    select t.n, i.status, c.state,
        case
            when i.instance_no is null then 'unknown_instance'
            when c.checkpoint_no = any (%(saved)s::int8[]) then 'done'
            when i.status <> 'running' or i.epoch <> t.epoch or c.instance_no is null then 'fenced'
            else 'found'
        end as outcome
    from unnest(%(instance_no)s::int8[], %(epoch)s::int4[], %(key)s::text[])
        with ordinality as t (instance_no, epoch, key, n)
    left join instance i using (instance_no)
    left join checkpoint c using (instance_no, key)
)
select outcome, case when outcome <> 'done' then status end as status, state from judged order by n

-- name: save_checkpoints
-- With the end of the signal whose payload a checkpoint stores (0: of none): both or nothing.
with input as (
    select * from unnest(
        %(instance_no)s::int8[], %(epoch)s::int4[], %(key)s::text[], %(state)s::bytea[], %(signal_no)s::int8[]
    ) with ordinality as t (instance_no, epoch, key, state, signal_no, n)
), judged as (
    select t.*, i.status, c.state as found,
        case
            when i.instance_no is null then 'unknown_instance'
            when i.status <> 'running' or i.epoch <> t.epoch then 'fenced'
            when c.instance_no is not null then 'found'
            when t.signal_no <> 0 and s.signal_no is null then 'withdrawn'
            else 'done'
        end as outcome
    from input t
    left join instance i using (instance_no)
    left join checkpoint c using (instance_no, key)
    left join lateral (
        select s.signal_no from signal s
        where s.signal_no = t.signal_no and s.instance_no = t.instance_no and s.kind = 'custom' and s.answer is null
        offset 0
    ) s on true
), saved as (
    insert into checkpoint (instance_no, epoch, key, state, created_at)
    select instance_no, epoch, key, state, now() from judged where outcome = 'done' order by n
), consumed as (
    update signal s set answer = 'consumed', answered_at = now()
    from judged j where j.outcome = 'done' and s.signal_no = j.signal_no
)
select outcome, case when outcome <> 'done' then status end as status, found as state from judged order by n

-- name: append_events
with input as (
    select * from unnest(
        %(instance_no)s::int8[], %(epoch)s::int4[], %(type)s::text[], %(subtype)s::text[], %(payload)s::bytea[],
        %(number)s::int8[]
    ) with ordinality as t (instance_no, epoch, type, subtype, payload, number, n)
), judged as (
    select t.*, i.status,
        case
            when i.instance_no is null then 'unknown_instance'
            when i.status <> 'running' or i.epoch <> t.epoch then 'fenced'
            else 'done'
        end as outcome
    from input t left join instance i using (instance_no)
), told as (
    insert into event (instance_no, epoch, type, subtype, payload, number, created_at)
    select instance_no, epoch, type, subtype, payload, number, now() from judged where outcome = 'done' order by n
    on conflict (instance_no, epoch, number) where number is not null do nothing
)
select outcome, case when outcome <> 'done' then status end as status from judged order by n

-- name: record_retries
with input as (
    select * from unnest(
        %(instance_no)s::int8[], %(epoch)s::int4[], %(key)s::text[], %(tries)s::int4[], %(error)s::bytea[],
        %(next_at)s::timestamptz[], %(waited_ms)s::int8[]
    ) with ordinality as t (instance_no, epoch, key, tries, error, next_at, waited_ms, n)
), judged as (
    select t.*, i.status,
        case
            when i.instance_no is null then 'unknown_instance'
            when i.status <> 'running' or i.epoch <> t.epoch then 'fenced'
            else 'done'
        end as outcome
    from input t left join instance i using (instance_no)
), recorded as (
    insert into retry as r (instance_no, key, tries, error, next_at, waited_ms)
    select instance_no, key, tries, error, next_at, waited_ms from judged where outcome = 'done' order by n
    on conflict (instance_no, key) do update
        set tries = excluded.tries, error = excluded.error, next_at = excluded.next_at, waited_ms = excluded.waited_ms
)
select outcome, case when outcome <> 'done' then status end as status from judged order by n

-- name: acknowledge_signals
with input as (
    select * from unnest(%(instance_no)s::int8[], %(epoch)s::int4[], %(signal_no)s::int8[])
        with ordinality as t (instance_no, epoch, signal_no, n)
), judged as (
    select t.*, i.status, s.kind,
        case
            when i.instance_no is null then 'unknown_instance'
            when i.status <> 'running' or i.epoch <> t.epoch then 'fenced'
            when s.signal_no is null then 'withdrawn'
            else 'done'
        end as outcome
    from input t
    left join instance i using (instance_no)
    left join lateral (
        select s.signal_no, s.kind from signal s
        where s.signal_no = t.signal_no and s.instance_no = t.instance_no and s.answer is null
        offset 0
    ) s on true
), answered as (
    update signal s set answer = 'acknowledged', answered_at = now()
    from judged j where j.outcome = 'done' and s.signal_no = j.signal_no
), told as (
    insert into event (instance_no, epoch, type, subtype, created_at)
    select instance_no, epoch, %(event)s, kind, now() from judged where outcome = 'done' order by n
)
select outcome, case when outcome <> 'done' then status end as status from judged order by n

-- name: record_exits
with input as (
    select * from unnest(
        %(instance_no)s::int8[], %(epoch)s::int4[], %(exit_code)s::int4[], %(memory_peak_bytes)s::int8[], %(cpu_us)s::int8[]
    ) with ordinality as t (instance_no, epoch, exit_code, memory_peak_bytes, cpu_us, n)
), recorded as (
    update instance i
    set exit_code = t.exit_code, memory_peak_bytes = t.memory_peak_bytes, cpu_us = t.cpu_us
    from input t where i.instance_no = t.instance_no and i.epoch = t.epoch
)
select
    case
        when i.instance_no is null then 'unknown_instance'
        when i.epoch <> t.epoch then 'fenced'
        else 'done'
    end as outcome,
    i.status
from input t left join instance i using (instance_no) order by n

-- name: change_status
-- The rules come from core.state and core.persistence.effects as columns: this statement applies them, it knows none.
with input as (
    select * from unnest(
        %(instance_no)s::int8[], %(epoch)s::int4[], %(sources)s::text[], %(source_reasons)s::text[], %(target)s::text[],
        %(reason)s::text[], %(event)s::text[], %(wake)s::text[], %(wake_at)s::timestamptz[], %(woken_by)s::text[],
        %(sleep)s::text[], %(counts)s::bool[], %(is_end)s::bool[], %(needs_image)s::bool[], %(signal_no)s::int8[],
        %(output)s::bytea[], %(error)s::bytea[], %(exit_code)s::int4[], %(memory_peak_bytes)s::int8[], %(cpu_us)s::int8[],
        %(detail)s::bytea[]
    ) with ordinality as t (
        instance_no, epoch, sources, source_reasons, target,
        reason, event, wake, wake_at, woken_by,
        sleep, counts, is_end, needs_image, signal_no,
        output, error, exit_code, memory_peak_bytes, cpu_us,
        detail, n
    )
), judged as (
    select t.*, i.status, i.epoch as epoch_now,
        case
            when i.instance_no is null then 'unknown_instance'
            when i.epoch <> t.epoch then 'fenced'
            when i.status <> all (string_to_array(t.sources, ' ')) then 'refused'
            when t.source_reasons is not null
                and coalesce(i.termination_reason, '') <> all (string_to_array(t.source_reasons, ' ')) then 'refused'
            when t.signal_no is not null and not exists (
                select from signal s
                where s.signal_no = t.signal_no and s.instance_no = t.instance_no and s.answer is null
            ) then 'withdrawn'
            else 'done'
        end as outcome,
        case t.wake
            when 'now' then now()
            when 'sleep_until' then coalesce(i.sleep_until, now())
            when 'given' then
                case
                    when exists (
                        select from signal s
                        where s.instance_no = t.instance_no and s.answer is null
                            and s.kind = any (string_to_array(t.woken_by, ' '))
                            and (s.kind <> 'custom' or s.epoch = i.epoch)
                            and s.signal_no is distinct from t.signal_no
                    ) then now()
                    when t.target = 'pending' or t.sleep = 'set' then coalesce(t.wake_at, now())
                    else t.wake_at
                end
        end as due_at
    from input t left join instance i using (instance_no)
), changed as (
    update instance i set
        status = j.target,
        termination_reason = j.reason,
        owner = null,
        wake_at = j.due_at,
        sleep_until = case j.sleep when 'set' then coalesce(j.wake_at, now()) when 'keep' then i.sleep_until end,
        finished_at = case when j.is_end then now() end,
        image_no = case when j.is_end then null when j.needs_image then i.image_no_last else i.image_no end,
        output = j.output,
        error = j.error,
        exit_code = coalesce(j.exit_code, i.exit_code),
        memory_peak_bytes = coalesce(j.memory_peak_bytes, i.memory_peak_bytes),
        cpu_us = coalesce(j.cpu_us, i.cpu_us),
        attempts_without_progress = case
            when not j.counts then 0
            -- Epochs of checkpoints only grow, so the last one tells.
            when i.epoch = (
                select c.epoch from checkpoint c where c.instance_no = i.instance_no order by c.checkpoint_no desc limit 1
            ) then 0
            else i.attempts_without_progress + 1
        end
    from judged j where j.outcome = 'done' and i.instance_no = j.instance_no
), answered as (
    -- What an end leaves unanswered is withdrawn, or a retry would be cancelled at once. Custom signals wait for it.
    update signal s
    set answer = case when s.signal_no = j.signal_no then 'acknowledged' else 'withdrawn' end, answered_at = now()
    from judged j
    where j.outcome = 'done' and s.instance_no = j.instance_no and s.answer is null
        and (s.signal_no = j.signal_no or (j.is_end and s.kind <> 'custom'))
), told as (
    insert into event (instance_no, epoch, type, payload, created_at)
    select instance_no, epoch_now, event, detail, now() from judged where outcome = 'done' order by n
)
select outcome, case outcome when 'done' then target else status end as status from judged order by n
