-- Whose word a key rests on, and the CAs by which devices are enrolled.

-- SHA-256 of the certificate of the CA that enrolled the device; null where the operator did.
alter table devices add column ca_digest bytea check (octet_length(ca_digest) = 32);

-- Until now only the operator's word was taken.
alter table device_keys add column introduced_by text not null default 'operator'
  check (introduced_by in ('operator', 'certificate', 'old-key', 'request'));
alter table device_keys alter column introduced_by drop default;

-- A key that a revocation cut off before its first seq never stands: another one may begin there.
alter table device_keys drop constraint device_keys_device_id_first_seq_key;
create unique index device_keys_standing on device_keys (device_id, first_seq)
  where last_seq is null or last_seq >= first_seq;

create table certificate_authorities (
  name text primary key check (name ~ '^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$'),
  digest bytea not null check (octet_length(digest) = 32),
  -- X.509 in DER.
  certificate bytea not null,
  trusted boolean not null,
  registry bytea not null check (octet_length(registry) = 32)
);
