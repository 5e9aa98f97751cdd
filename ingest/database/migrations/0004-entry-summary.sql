-- What a block's summary needs of a statement, known at ingest and kept with its entry: a seal that asked `series` for
-- each of 1,000,000 statements spent most of its 114 s there.

alter table entries
  -- Each value and each sample of a waveform that stands in `series`; 0 also where the payload is unread or opaque.
  add column readings integer not null default 0,
  -- Unix seconds by the device's clock of the earliest and the latest of them.
  add column starts_at float8,
  add column ends_at float8;

-- The trigger keeps rows as they were accepted. These columns are new.
alter table entries disable trigger only_added;
update entries e set readings = s.readings, starts_at = s.starts_at, ends_at = s.ends_at
from (select statement_id, received_at, min(starts_at) as starts_at, max(ends_at) as ends_at,
             sum(coalesce(cardinality(times), cardinality(samples))) as readings
      from series group by statement_id, received_at) s
where s.statement_id = e.id and s.received_at = e.received_at;
alter table entries enable trigger only_added;

alter table entries alter column readings drop default;
alter table entries add constraint entries_readings_check
  check (readings >= 0 and (starts_at is null) = (readings = 0) and (ends_at is null) = (readings = 0));
