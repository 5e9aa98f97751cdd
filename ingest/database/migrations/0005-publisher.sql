-- The data folder from which this log is sealed and published. One: each keeps the last published checkpoint, which is
-- how a restored backup is noticed, and of two folders one would notice and the other sign the same size again.
create table publisher (
  only_row boolean primary key default true check (only_row),
  folder text not null check (folder ~ '^[0-9a-f]{32}$'),
  since timestamptz not null default now()
);
