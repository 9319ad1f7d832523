-- Instances: made, claimed, read, listed.

-- name: create_instance
with made as (
    insert into instance (
        tenant_id, instance_id, image_no, image_no_last, image_id, status, created_at, wake_at,
        timeout_s, fingerprint, env, input
    ) values (
        %(tenant_id)s, %(instance_id)s, %(image_no)s, %(image_no)s, %(image_id)s, %(status)s, now(), now(),
        %(timeout_s)s, %(fingerprint)s, %(env)s, %(input)s
    )
    on conflict (instance_id, tenant_id) do nothing
    returning instance_no
), told as (
    insert into event (instance_no, epoch, type, created_at) select instance_no, 0, %(event)s, now() from made
)
select instance_no from made

-- name: find_start
select instance_no, fingerprint from instance where tenant_id = %(tenant_id)s and instance_id = %(instance_id)s

-- name: count_pending
select count(*) as pending from (
    select from instance where tenant_id = %(tenant_id)s and status = 'pending' limit %(limit)s
) waiting

-- name: register_new
insert into instance (tenant_id, instance_id, status, epoch, owner, created_at, started_at, attempt_started_at)
values (%(tenant_id)s, %(instance_id)s, %(status)s, 1, %(server_no)s, now(), now(), now())
on conflict (instance_id, tenant_id) do nothing
returning instance_no, epoch

-- name: lock_by_id
select instance_no, status, image_id from instance
where tenant_id = %(tenant_id)s and instance_id = %(instance_id)s
for no key update

-- name: register_again
update instance set
    status = %(status)s, epoch = epoch + 1, owner = %(server_no)s, termination_reason = null, wake_at = null,
    sleep_until = null, started_at = coalesce(started_at, now()), attempt_started_at = now(),
    output = null, error = null, exit_code = null, memory_peak_bytes = null, cpu_us = null
where instance_no = %(instance_no)s
returning instance_no, epoch

-- name: append_event
insert into event (instance_no, epoch, type, subtype, payload, created_at)
values (%(instance_no)s, %(epoch)s, %(type)s, %(subtype)s, %(payload)s, now())

-- name: claim_due
-- Steps from tenant to tenant through the index (never over the rows between), takes the oldest due rows of each, and
-- gives the slots to whoever has the fewest running attempts, counting those that it gets now. More candidates than
-- slots, because another server may hold some of them this very moment.
with recursive tenant (tenant_id) as (
    (
        select tenant_id from instance
        where wake_at is not null and image_no is not null
        order by tenant_id limit 1
    )
    union all
    select (
        select i.tenant_id from instance i
        where i.wake_at is not null and i.image_no is not null and i.tenant_id > t.tenant_id
        order by i.tenant_id limit 1
    )
    from tenant t where t.tenant_id is not null
), load as (
    select tenant_id, count(*) as running from instance where owner = %(server_no)s group by tenant_id
), candidate as (
    select d.instance_no, d.wake_at, coalesce(l.running, 0) + row_number() over (
        partition by t.tenant_id order by d.wake_at, d.instance_no
    ) as turn
    from tenant t
    left join load l using (tenant_id)
    cross join lateral (
        select i.instance_no, i.wake_at from instance i
        where i.tenant_id = t.tenant_id and i.wake_at <= now() and i.image_no is not null
        order by i.wake_at, i.instance_no
        limit %(candidates)s
    ) d
    order by turn, d.wake_at, d.instance_no
    limit %(candidates)s
), claimed as (
    select i.instance_no, i.wake_at as due_at, c.turn
    from instance i join candidate c using (instance_no)
    where i.status = any (%(sources)s) and i.wake_at <= now() and i.image_no is not null
    order by c.turn, c.wake_at, c.instance_no
    limit %(slots)s
    for update of i skip locked
), started as (
    update instance i set
        status = %(target)s, epoch = i.epoch + 1, owner = %(server_no)s, termination_reason = null, wake_at = null,
        sleep_until = null, started_at = coalesce(i.started_at, now()), attempt_started_at = now(),
        output = null, error = null, exit_code = null, memory_peak_bytes = null, cpu_us = null
    from claimed c where i.instance_no = c.instance_no
    returning i.instance_no, i.tenant_id, i.instance_id, i.epoch, i.image_no, i.image_id, i.input, i.env, i.timeout_s,
        c.due_at, c.turn
), told as (
    insert into event (instance_no, epoch, type, created_at)
    select instance_no, epoch, %(event)s, now() from started
)
select instance_no, tenant_id, instance_id, epoch, image_no, image_id, input, env, timeout_s, due_at
from started order by turn, due_at, instance_no

-- name: next_due
select wake_at from instance
where wake_at is not null and image_no is not null
order by wake_at limit %(limit)s

-- name: list_owned
select instance_no, tenant_id, instance_id, epoch, image_id, timeout_s, attempt_started_at
from instance where owner = %(server_no)s order by instance_no

-- name: find_instances
select i.instance_no, i.tenant_id, i.instance_id, i.image_id, i.status, i.epoch, i.owner, i.attempts_without_progress,
    i.termination_reason, i.created_at, i.started_at, i.finished_at, i.wake_at, i.sleep_until, i.timeout_s, i.exit_code,
    i.memory_peak_bytes, i.cpu_us, i.error, i.input, i.output, (
    select c.key from checkpoint c where c.instance_no = i.instance_no order by c.checkpoint_no desc limit 1
) as checkpoint_key
from instance i
where i.instance_id = %(instance_id)s and (%(tenant_id)s::text is null or i.tenant_id = %(tenant_id)s)
limit 2

-- name: get_instance
select i.instance_no, i.tenant_id, i.instance_id, i.image_id, i.status, i.epoch, i.owner, i.attempts_without_progress,
    i.termination_reason, i.created_at, i.started_at, i.finished_at, i.wake_at, i.sleep_until, i.timeout_s, i.exit_code,
    i.memory_peak_bytes, i.cpu_us, i.error, i.input, i.output, (
    select c.key from checkpoint c where c.instance_no = i.instance_no order by c.checkpoint_no desc limit 1
) as checkpoint_key
from instance i where i.instance_no = %(instance_no)s

-- name: list_instances
-- The conditions and the end are added by the verb: only conditions that stand in the text can use a partial index.
select i.instance_no, i.tenant_id, i.instance_id, i.image_id, i.status, i.epoch, i.owner, i.attempts_without_progress,
    i.termination_reason, i.created_at, i.started_at, i.finished_at, i.wake_at, i.sleep_until, i.timeout_s, i.exit_code,
    i.memory_peak_bytes, i.cpu_us, i.error, ''::bytea as input, null::bytea as output, (
    select c.key from checkpoint c where c.instance_no = i.instance_no order by c.checkpoint_no desc limit 1
) as checkpoint_key
from instance i

-- name: count_instances
-- Steps from tenant to tenant and stops at the limit: however many are parked, it reads no more than that of them.
with recursive tenant (tenant_id) as (
    (
        select tenant_id from instance
        where status in ('pending', 'running', 'suspended')
        order by tenant_id limit 1
    )
    union all
    select (
        select i.tenant_id from instance i
        where i.status in ('pending', 'running', 'suspended') and i.tenant_id > t.tenant_id
        order by i.tenant_id limit 1
    )
    from tenant t where t.tenant_id is not null
)
select s.status, c.count
from unnest(array['pending', 'running', 'suspended']) s (status)
cross join lateral (
    select count(*) as count from (
        select from tenant t
        cross join lateral (
            select from instance i
            where i.tenant_id = t.tenant_id and i.status = s.status
                and i.status in ('pending', 'running', 'suspended')
            limit %(limit)s
        ) of_tenant
        limit %(limit)s
    ) counted
) c
