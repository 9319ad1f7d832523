-- Signals. Whoever touches those of an instance locks its row first, so that what follows sees everything before it.

-- name: lock_instance
select status, epoch, owner, termination_reason from instance where instance_no = %(instance_no)s for no key update

-- name: find_waiting
select signal_no from signal
where instance_no = %(instance_no)s and kind = %(kind)s and answer is null and kind <> 'custom'

-- name: store_signal
with stored as (
    insert into signal (instance_no, epoch, kind, name, payload, created_at)
    values (%(instance_no)s, %(epoch)s, %(kind)s, %(name)s, %(payload)s, now())
    returning signal_no
), told as (
    insert into event (instance_no, epoch, type, subtype, created_at)
    values (%(instance_no)s, %(epoch)s, %(event)s, %(kind)s, now())
)
select signal_no from stored

-- name: withdraw_pauses
update signal set answer = 'withdrawn', answered_at = now()
where instance_no = %(instance_no)s and kind = 'pause' and answer is null
returning signal_no

-- name: pending_signals
select signal_no, kind, name, payload, created_at from signal
where instance_no = %(instance_no)s and answer is null
order by signal_no
