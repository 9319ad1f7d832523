-- Servers, instances, and what instances leave behind: checkpoints, retries, events, signals.
--
-- No foreign keys: one from a checkpoint to its instance would cost a look-up per row on the hot path, and the statement
-- that writes checks the instance anyway (docs/decisions/0001).
-- Statuses and reasons are text, because a value of an enum type cannot be used in the transaction that adds it.

create table server (
    server_no       int generated always as identity primary key,
    name            text not null unique,
    session         text not null,
    lease_until     timestamptz not null,
    lost_attempts   boolean not null default false
);
comment on column server.session is 'application_name of its connections; those of a former process are ended by it';
comment on column server.lost_attempts is 'a peer has taken attempts over since the lease was last renewed';

create table secret (
    name    text primary key,
    value   bytea not null
);

create table instance (
    instance_no                 bigint generated always as identity primary key,
    tenant_id                   text collate "C" not null,
    instance_id                 text collate "C" not null,
    image_id                    text,
    image_no                    bigint,
    image_no_last               bigint,
    status                      text not null
        check (status in ('pending', 'running', 'suspended', 'completed', 'failed', 'cancelled')),
    epoch                       int not null default 0,
    owner                       int,
    attempts_without_progress   int not null default 0,
    termination_reason          text,
    created_at                  timestamptz not null,
    started_at                  timestamptz,
    attempt_started_at          timestamptz,
    finished_at                 timestamptz,
    wake_at                     timestamptz,
    sleep_until                 timestamptz,
    timeout_s                   double precision,
    exit_code                   int,
    memory_peak_bytes           bigint,
    cpu_us                      bigint,
    fingerprint                 bytea not null default '',
    env                         jsonb not null default '{}',
    input                       bytea not null default '',
    output                      bytea,
    error                       bytea,

    constraint instance_id_is_unique unique (instance_id, tenant_id),
    constraint running_has_an_owner check ((status = 'running') = (owner is not null)),
    constraint ended_has_an_end check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint pending_is_due check (status <> 'pending' or wake_at is not null),
    constraint only_parked_is_due check (wake_at is null or status in ('pending', 'suspended')),
    constraint ended_frees_its_image check (finished_at is null or image_no is null)
) with (
    -- Claims read the front of an index whose entries come and go; do not wait for a fifth of ten million rows to change.
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.02
);
comment on column instance.image_no is 'null once ended, so that the image may be deleted; image_no_last remembers it';

-- Lists of a tenant, newest first.
create index instance_of_tenant on instance (tenant_id, instance_no);
-- The claim: per tenant, oldest first. Instances without an image are launched by nobody.
create index instance_due on instance (tenant_id, wake_at, instance_no) where wake_at is not null and image_no is not null;
-- The timers: when is anything due next?
create index instance_wake on instance (wake_at) where wake_at is not null and image_no is not null;
create index instance_owned on instance (owner) where owner is not null;
create index instance_of_image on instance (image_no) where image_no is not null;
-- Counts, and lists by status, of what has not ended.
create index instance_live on instance (tenant_id, status, instance_no)
    where status in ('pending', 'running', 'suspended');

create table checkpoint (
    instance_no     bigint not null,
    key             text collate "C" not null,
    epoch           int not null,
    checkpoint_no   bigint generated always as identity,
    created_at      timestamptz not null,
    state           bytea not null,
    primary key (instance_no, key)
);
-- Sealed states are compressed already, when that helps.
alter table checkpoint alter column state set storage external;
-- The newest first; and the last one tells whether an attempt has made progress.
create index checkpoint_in_order on checkpoint (instance_no, checkpoint_no);

create table retry (
    instance_no     bigint not null,
    key             text collate "C" not null,
    tries           int not null,
    error           bytea not null,
    next_at         timestamptz,
    waited_ms       bigint not null,
    primary key (instance_no, key)
);

create table event (
    instance_no     bigint not null,
    event_no        bigint generated always as identity,
    epoch           int not null,
    created_at      timestamptz not null,
    type            text not null,
    subtype         text,
    payload         bytea,
    primary key (instance_no, event_no)
);

create table signal (
    signal_no       bigint generated always as identity primary key,
    instance_no     bigint not null,
    epoch           int not null,
    kind            text not null check (kind in ('cancel', 'pause', 'custom')),
    name            text,
    payload         bytea,
    created_at      timestamptz not null,
    answer          text check (answer in ('acknowledged', 'consumed', 'withdrawn')),
    answered_at     timestamptz
);
comment on column signal.epoch is 'of the instance when the signal was stored';
create index signal_waiting on signal (instance_no, signal_no) where answer is null;
-- Asking twice for the same end is asking once.
create unique index signal_once on signal (instance_no, kind) where answer is null and kind <> 'custom';
