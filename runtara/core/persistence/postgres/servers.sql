-- The servers of a database, their leases, and what several of them share.

-- name: check
select now() as now

-- name: find_secret
select value from secret where name = %(name)s

-- name: make_secret
insert into secret (name, value) values (%(name)s, %(value)s) on conflict (name) do nothing

-- name: find_former_session
select session from server where name = %(name)s

-- name: end_sessions
-- Waits until each is gone: what it had begun is then committed or rolled back for good.
select pg_terminate_backend(pid, 5000) as ended from pg_stat_activity
where application_name = %(session)s and datname = current_database()

-- name: join
insert into server (name, session, lease_until)
values (%(name)s, %(session)s, now() + make_interval(secs => %(lease_s)s))
on conflict (name) do update
    set session = excluded.session, lease_until = excluded.lease_until, lost_attempts = false
returning server_no

-- name: lock_server
select lost_attempts from server where server_no = %(server_no)s for update

-- name: renew_lease
update server set lease_until = now() + make_interval(secs => %(lease_s)s), lost_attempts = false
where server_no = %(server_no)s

-- name: leave
-- Long ago, so that nobody waits out a grace.
update server set lease_until = '-infinity' where server_no = %(server_no)s

-- name: list_servers
select server_no, name, lease_until from server where lease_until > now() order by server_no

-- name: lock_dead_servers
-- A server that renews right now holds its row, and is skipped.
select server_no from server
where lease_until < now() - make_interval(secs => %(grace_s)s)
for update skip locked

-- name: lock_orphans
select instance_no, epoch from instance
where owner = any(%(server_nos)s) and status = 'running'
order by instance_no
limit %(limit)s
for update skip locked

-- name: mark_lost
update server set lost_attempts = true
where server_no in (select owner from instance where instance_no = any(%(instance_nos)s))
