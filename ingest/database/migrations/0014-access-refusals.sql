-- Who was refused over HTTP: guessed, revoked and expired keys, and readers without one. A service gathers them for some
-- seconds, so that a loop of guesses costs a few rows. Rows are only ever added.
create table access_refusals (
  refusal_id bigint generated always as identity primary key,
  since timestamptz not null,
  at timestamptz not null default clock_timestamp(),
  -- 'others': more addresses than a gathering keeps.
  address text not null,
  reason text not null,
  route text not null,
  -- Of the key that was named, where there is one.
  key_id text references api_keys,
  count bigint not null check (count > 0)
);
create index on access_refusals (at);

create trigger only_added before update or delete or truncate on access_refusals for each statement execute function refuse_change();
