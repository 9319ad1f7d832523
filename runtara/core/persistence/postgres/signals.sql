-- Signals. Whoever touches those of an instance locks its row first, so that what follows sees everything before it.

-- name: lock_instance
select instance_no, status, owner, termination_reason from instance where instance_no = %(instance_no)s for no key update

-- name: store_signal
-- Nothing where no such signal is taken; the one that waits already, where asking twice is asking once.
with waiting as (
    select signal_no from signal
    where instance_no = %(instance_no)s and kind = %(kind)s and answer is null and kind <> 'custom'
), taken as (
    select instance_no, epoch from instance
    where instance_no = %(instance_no)s and status = any (%(statuses)s) and not exists (select from waiting)
), stored as (
    insert into signal (instance_no, epoch, kind, name, payload, created_at)
    select instance_no, epoch, %(kind)s, %(name)s, %(payload)s, now() from taken
    returning signal_no
), told as (
    insert into event (instance_no, epoch, type, subtype, created_at)
    select instance_no, epoch, %(event)s, %(kind)s, now() from taken
)
select signal_no from stored union all select signal_no from waiting

-- name: withdraw_pauses
update signal set answer = 'withdrawn', answered_at = now()
where instance_no = %(instance_no)s and kind = 'pause' and answer is null
returning signal_no

-- name: pending_signals
select signal_no, kind, name, payload, created_at from signal
where instance_no = %(instance_no)s and answer is null
order by signal_no
