-- Which checkpoints have left the house. A row is written once the note stands, durably, in the folder that the log is
-- published from; only then it is served and exported: what a reader has seen must be known there after any crash, or a
-- restored backup would go unnoticed and the same size be signed twice. Not evidence: the notes themselves are.
create table publications (
  height bigint primary key references checkpoints,
  at timestamptz not null default now()
);

-- Of a log that stands already: whoever seals publishes the last block first.
insert into publications (height) select max(height) from checkpoints having count(*) > 0;

create trigger only_added before update or delete or truncate on publications for each statement execute function refuse_change();
