-- API keys of researchers, and the record of every read.

-- Only a SHA-256 is kept: a key is 256 bits of chance, so no slow hash is needed. A revoked key stays, since records name it.
create table api_keys (
  key_id text primary key check (key_id ~ '^[0-9a-f]{8}$'),
  name text not null unique check (name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
  digest bytea not null check (octet_length(digest) = 32),
  -- read: pages of JSON; export: bulk formats too.
  scope text not null check (scope in ('read', 'export')),
  -- The devices that it reaches: these, and those that have all of these attributes; both null: all.
  devices text[],
  attributes jsonb,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  check (devices is null or attributes is null)
);

-- One row before the first byte of an answer, one when it has ended. A read without an end was cut off with the process.
create table accesses (
  access_id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  -- Null: somebody on this machine, where no key was asked for.
  key_id text references api_keys,
  address text not null,
  route text not null,
  -- As they were asked: devices, times, blocks, format.
  parameters jsonb not null
);
create index on accesses (at);

create table access_ends (
  access_id bigint primary key references accesses,
  at timestamptz not null default clock_timestamp(),
  -- whole: all that was asked for, or a page of it, went out; cut: the reader went away or the answer broke off;
  -- refused: nothing but a problem was answered.
  outcome text not null check (outcome in ('whole', 'cut', 'refused')),
  status smallint not null,
  rows bigint not null check (rows >= 0),
  -- Of the answer, where the request named none.
  devices text[],
  -- The block that it spoke of.
  height bigint
);

create trigger only_added before update or delete or truncate on accesses for each statement execute function refuse_change();
create trigger only_added before update or delete or truncate on access_ends for each statement execute function refuse_change();
