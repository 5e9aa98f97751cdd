-- Static tokens. Only a SHA-256 is kept: a token is 256 bits of chance, so no slow hash is needed.
create table login_tokens (
  device_id text not null references devices,
  token_id text not null check (token_id ~ '^[0-9a-f]{8}$'),
  digest bytea not null check (octet_length(digest) = 32),
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  primary key (device_id, token_id)
);
