-- Who may log in and who may read rests on the operator's word, and not on who can write a row: an HMAC-SHA-256 over each
-- token and key by a key that is made from the heads secret, which the database does not have. Null: the row is older than
-- this column and waits for the first start that makes it, once (`tidemark` says so); after that a row without one is none.
alter table api_keys add column mac bytea check (octet_length(mac) = 32);
alter table login_tokens add column mac bytea check (octet_length(mac) = 32);
