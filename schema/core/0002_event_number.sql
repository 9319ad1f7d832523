-- A program numbers its events, so that one whose answer was lost, and which comes again, is stored once.
alter table event add column number bigint;
create unique index event_once on event (instance_no, epoch, number) where number is not null;
